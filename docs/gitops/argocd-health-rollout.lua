-- Health of a Rollout of Coalmine: resource.customizations.health.coalmine.dev_Rollout in argocd-cm.
-- Only `obj` is known, and no library but the base and `table`.
local health = {
  Healthy = "Healthy",
  Progressing = "Progressing",
  Paused = "Suspended",
  Degraded = "Degraded",
}
local hs = {}
if obj.metadata ~= nil and obj.metadata.deletionTimestamp ~= nil then
  hs.status = "Progressing"
  hs.message = "Pending deletion"
  return hs
end
if obj.status == nil or obj.status.phase == nil then
  hs.status = "Progressing"
  hs.message = "coalmine-controller has not looked at this Rollout yet"
  return hs
end
hs.status = health[obj.status.phase] or "Unknown"
hs.message = obj.status.message or ""
return hs
