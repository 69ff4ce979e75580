-- Health of a Deployment where Coalmine may hold it: resource.customizations.health.apps_Deployment in argocd-cm.
-- Argo CD's own check says Suspended of every paused Deployment, of one whose canary was taken back as well. This one
-- says Progressing while a canary runs and Degraded once it was taken back. Of all other Deployments it says what
-- Argo CD's own check says.
local hs = {}
local function answer(status, message)
  hs.status = status
  hs.message = message
  return hs
end

if obj.metadata.deletionTimestamp ~= nil then
  return answer("Progressing", "Pending deletion")
end
local annotations = obj.metadata.annotations or {}
local held = annotations["coalmine.dev/hold"] ~= nil
if obj.spec.paused and not held then
  return answer("Suspended", "Deployment is paused")
end
local status = obj.status or {}
if (obj.metadata.generation or 0) > (status.observedGeneration or 0) then
  return answer("Progressing", "Waiting for rollout to finish: observed deployment generation less than desired generation")
end
for _, condition in ipairs(status.conditions or {}) do
  if condition.type == "Progressing" and condition.reason == "ProgressDeadlineExceeded" then
    if held then
      return answer("Degraded", condition.message)
    end
    return answer("Degraded", 'Deployment "' .. obj.metadata.name .. '" exceeded its progress deadline')
  end
end
if held then
  return answer("Progressing", "Coalmine tries the new version as a canary; the Rollout of the same name tells more")
end
local updated = status.updatedReplicas or 0
local replicas = status.replicas or 0
local available = status.availableReplicas or 0
if obj.spec.replicas ~= nil and updated < obj.spec.replicas then
  return answer("Progressing", "Waiting for rollout to finish: " .. updated .. " out of " .. obj.spec.replicas
    .. " new replicas have been updated...")
end
if replicas > updated then
  return answer("Progressing", "Waiting for rollout to finish: " .. (replicas - updated)
    .. " old replicas are pending termination...")
end
if available < updated then
  return answer("Progressing", "Waiting for rollout to finish: " .. available .. " of " .. updated
    .. " updated replicas are available...")
end
return answer("Healthy", "")
