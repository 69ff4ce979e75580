-- Health of an AnalysisRun of Coalmine: resource.customizations.health.coalmine.dev_AnalysisRun in argocd-cm.
-- Inconclusive waits for a person to promote or abort, as a paused Rollout does.
local health = {
  Pending = "Progressing",
  Running = "Progressing",
  Successful = "Healthy",
  Inconclusive = "Suspended",
  Failed = "Degraded",
  Error = "Degraded",
}
local hs = {}
if obj.status == nil or obj.status.phase == nil then
  hs.status = "Progressing"
  hs.message = "the analysis has not begun"
  return hs
end
hs.status = health[obj.status.phase] or "Unknown"
hs.message = obj.status.message or ""
return hs
