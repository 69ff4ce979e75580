# fish completion of coalmine
function __coalmine_at --description 'whether the words so far are this verb: its words, then how many arguments follow'
    set -l words
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case -n --namespace --context --kubeconfig -o --output -t --timeout --to-revision -f --filename
                set skip 1
            case '-*'
            case '*'
                set -a words $word
        end
    end
    set -l wanted $argv[2..-1]
    set -l count (count $wanted)
    if test $count -gt 0
        test (count $words) -ge $count; or return 1
        for i in (seq $count)
            contains -- $words[$i] (string split '|' -- $wanted[$i]); or return 1
        end
    end
    test $argv[1] = any; or test (math (count $words) - $count) = $argv[1]
end

function __coalmine_rollouts
    if command -q timeout
        timeout 2 coalmine list rollouts -o name 2>/dev/null </dev/null
    else
        coalmine list rollouts -o name 2>/dev/null </dev/null
    end | string replace -r '.*/' ''
end

complete -c coalmine -f

complete -c coalmine -n "__coalmine_at 0" -a get -d 'show a rollout: get rollout NAME'
complete -c coalmine -n "__coalmine_at 0" -a list -d 'show all rollouts: list rollouts'
complete -c coalmine -n "__coalmine_at 0" -a status -d 'wait until a rollout is Healthy or Degraded'
complete -c coalmine -n "__coalmine_at 0" -a set -d 'ask for a new version: set image DEPLOYMENT CONTAINER=IMAGE'
complete -c coalmine -n "__coalmine_at 0" -a promote -d 'go on with a rollout: end the current pause or step'
complete -c coalmine -n "__coalmine_at 0" -a pause -d 'stop a rollout at its current step and weight'
complete -c coalmine -n "__coalmine_at 0" -a abort -d 'take a canary back: all requests go to stable'
complete -c coalmine -n "__coalmine_at 0" -a retry -d 'try an aborted canary again, from the first step'
complete -c coalmine -n "__coalmine_at 0" -a undo -d 'go back to an earlier revision\'s template'
complete -c coalmine -n "__coalmine_at 0" -a restart -d 'replace the pods of a Deployment'
complete -c coalmine -n "__coalmine_at 0" -a lint -d 'check manifests as the cluster would'
complete -c coalmine -n "__coalmine_at 0" -a check -d 'look whether a cluster can have Coalmine, and whether what it has works'
complete -c coalmine -n "__coalmine_at 0" -a uninstall -d 'take Coalmine off the cluster, and leave every Deployment running natively'
complete -c coalmine -n "__coalmine_at 0" -a completion -d 'print a script that completes the verbs in a shell'
complete -c coalmine -n "__coalmine_at 0" -a version -d 'tell the version of this program'
complete -c coalmine -n "__coalmine_at any" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at 0 'get'" -a rollout -d 'show a rollout with its revisions, pods and analysis'
complete -c coalmine -n "__coalmine_at any 'get'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'get'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'get'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'get'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'get'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at 0 'get' 'rollout|ro|rollouts'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -s w -l watch -d 'follow it'
complete -c coalmine -n "__coalmine_at any 'get' 'rollout|ro|rollouts'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'list'" -a rollouts -d 'show all rollouts, a line for each'
complete -c coalmine -n "__coalmine_at any 'list'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'list'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'list'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'list'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'list'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -s A -l all-namespaces -d 'of all namespaces'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -s w -l watch -d 'follow them'
complete -c coalmine -n "__coalmine_at any 'list' 'rollouts|ro|rollout'" -s o -l output -x -a 'text json yaml wide name' -d 'text, json, yaml, wide, name'
complete -c coalmine -n "__coalmine_at 0 'status'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'status'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'status'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'status'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'status'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'status'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'status'" -s w -l watch -d 'wait (the default)'
complete -c coalmine -n "__coalmine_at any 'status'" -l no-watch -d 'tell it once, do not wait'
complete -c coalmine -n "__coalmine_at any 'status'" -s t -l timeout -x -d 'how long to wait, for example 10m'
complete -c coalmine -n "__coalmine_at any 'status'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'set'" -a image -d 'give a Deployment\'s containers new images'
complete -c coalmine -n "__coalmine_at any 'set'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'set'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'set'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'set'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'set'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at 0 'set' 'image'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'set' 'image'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'set' 'image'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'set' 'image'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'set' 'image'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'set' 'image'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'set' 'image'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'promote'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'promote'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'promote'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'promote'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'promote'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'promote'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'promote'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at any 'promote'" -l full -d 'skip all steps that remain, and the analysis'
complete -c coalmine -n "__coalmine_at 0 'pause'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'pause'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'pause'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'pause'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'pause'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'pause'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'pause'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'abort'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'abort'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'abort'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'abort'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'abort'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'abort'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'abort'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'retry'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'retry'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'retry'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'retry'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'retry'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'retry'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'retry'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'undo'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'undo'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'undo'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'undo'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'undo'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'undo'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'undo'" -l to-revision -x -d 'a number of `kubectl rollout history`'
complete -c coalmine -n "__coalmine_at any 'undo'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'restart'" -a "(__coalmine_rollouts)"
complete -c coalmine -n "__coalmine_at any 'restart'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'restart'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'restart'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'restart'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'restart'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'restart'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at any 'lint'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'lint'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'lint'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'lint'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'lint'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'lint'" -s f -l filename -r -F -d 'file or folder to check'
complete -c coalmine -n "__coalmine_at any 'lint'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at any 'check'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'check'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'check'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'check'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'check'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'check'" -s A -l all-namespaces -d 'the Deployments of all namespaces'
complete -c coalmine -n "__coalmine_at any 'check'" -l before -d 'before an installation: what it needs'
complete -c coalmine -n "__coalmine_at any 'check'" -l strict -d 'warnings are failures, too'
complete -c coalmine -n "__coalmine_at any 'check'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l finish -d 'promote open rollouts in full first, and wait for them'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l abort -d 'take open rollouts back to their stable templates first'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l yes -d 'do it'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l dry-run -d 'say what would be done, and do nothing (exit code 0, or 1 where it would be refused)'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l keep-sidecars -d 'leave pods and pod templates as they are: the sidecars serve locally until each Deployment\'s next update'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l keep-annotations -d 'leave the annotations that people wrote on Deployments'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l keep-crds -d 'leave the kinds, and the analysis templates'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -l timeout -x -d 'for all of it, for example 30m'
complete -c coalmine -n "__coalmine_at any 'uninstall'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
complete -c coalmine -n "__coalmine_at 0 'completion'" -a 'bash zsh fish kubectl'
complete -c coalmine -n "__coalmine_at any 'completion'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'completion'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'completion'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'completion'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'completion'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'version'" -s h -l help -d 'show this help message and exit'
complete -c coalmine -n "__coalmine_at any 'version'" -s n -l namespace -x -d 'namespace'
complete -c coalmine -n "__coalmine_at any 'version'" -l context -x -d 'context of the kubeconfig'
complete -c coalmine -n "__coalmine_at any 'version'" -l kubeconfig -r -F -d 'default: $KUBECONFIG, else ~/.kube/config'
complete -c coalmine -n "__coalmine_at any 'version'" -l no-color -d 'no colours'
complete -c coalmine -n "__coalmine_at any 'version'" -s o -l output -x -a 'text json yaml' -d 'text, json, yaml'
