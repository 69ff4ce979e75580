"""`completion bash|zsh|fish|kubectl`: a script that completes the verbs in a shell.

Rules: the scripts are made of the parsers (`command_tree`) and hold all words themselves: nothing is
started at the Tab key but `coalmine list rollouts -o name`, where the name of a rollout belongs, and that is given up
after two seconds. They write nothing to the terminal but candidates.
"""

from __future__ import annotations

from coalmine_cli.call import DONE, Call, Verbs, add_verb

_HELP = """For example, for good:
  coalmine completion bash > /etc/bash_completion.d/coalmine
  coalmine completion zsh > "${fpath[1]}/_coalmine"
  coalmine completion fish > ~/.config/fish/completions/coalmine.fish
Only in this shell: source <(coalmine completion bash)
For `kubectl coalmine`: kubectl (1.26 and later) asks a program named kubectl_complete-coalmine on the PATH:
  coalmine completion kubectl > /usr/local/bin/kubectl_complete-coalmine
  chmod +x /usr/local/bin/kubectl_complete-coalmine"""


def declare(verbs: Verbs) -> None:
    import argparse

    parser = add_verb(verbs, "completion", run, about="print a script that completes the verbs in a shell")
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _HELP
    parser.add_argument("shell", choices=("bash", "zsh", "fish", "kubectl"), help="the shell; kubectl: for its plugin")


async def run(call: Call) -> int:
    from dataclasses import replace

    from coalmine_cli import completion_scripts
    from coalmine_cli.__main__ import COMPONENTS
    from coalmine_cli.command_tree import Command, tree
    from coalmine_cli.program import parser

    verbs = tree(parser("coalmine"))
    components = (Command((name,), "", (), (), ()) for name in COMPONENTS)
    top = replace(verbs, children=(*verbs.children, *components))
    call.terminal.say(completion_scripts.script(call.arguments.shell, top).rstrip("\n"))
    return DONE
