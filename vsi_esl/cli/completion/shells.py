"""The shells, by click's own machinery; bash by a script of ours, as click's leaves two things out.

bash takes `id=...` for three words, so that what is completed is the part behind the `=`; and it adds a blank
to a name that is to be followed by one.
"""

from __future__ import annotations

import os

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

VARIABLE = "_VSI_ESL_COMPLETE"
NO_SPACE = "nospace"
"""The type of an item behind which more is to be typed at once."""
BREAKS = "=:"
"""Of the characters at which bash begins a word those that our words have."""

BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' kind value response
    response=$(COMP_LINE="$COMP_LINE" COMP_POINT="$COMP_POINT" COMP_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
    COMPREPLY=()
    local joined=1
    while IFS=, read -r kind value; do
        case "$kind" in
            dir) compopt -o dirnames; joined=0 ;;
            file) compopt -o default; joined=0 ;;
            nospace) COMPREPLY+=("$value") ;;
            plain) COMPREPLY+=("$value"); joined=0 ;;
        esac
    done <<< "$response"
    if [ "$joined" = 1 ] && [ "${#COMPREPLY[@]}" -gt 0 ]; then compopt -o nospace; fi
    return 0
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""


class Bash(BashComplete):
    """What is typed is taken from the line up to the cursor."""

    source_template = BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        line = os.environ.get("COMP_LINE", "")
        # bash counts bytes where the line has no others than those, else characters
        typed = line[: int(os.environ.get("COMP_POINT", len(line)))]
        words = split_arg_string(typed)
        incomplete = "" if not typed or typed[-1].isspace() else words.pop()
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem) -> str:
        _, incomplete = self.get_completion_args()
        breaks = [one for one in BREAKS if one in os.environ.get("COMP_BREAKS", BREAKS)]
        # what stands before the last of them is a word of its own to bash, which stays as it is
        before = max((incomplete.rfind(one) + 1 for one in breaks), default=0)
        return f"{item.type},{item.value[before:]}"


class Zsh(ZshComplete):
    """Knows no word without a blank behind it."""

    def format_completion(self, item: CompletionItem) -> str:
        return super().format_completion(_plain(item))


class Fish(FishComplete):
    """Adds no blank behind `=` by itself."""

    def format_completion(self, item: CompletionItem) -> str:
        return super().format_completion(_plain(item))


def _plain(item: CompletionItem) -> CompletionItem:
    return CompletionItem(item.value, help=item.help) if item.type == NO_SPACE else item


def register() -> None:
    """Have click use these."""
    for name, kind in (("bash", Bash), ("zsh", Zsh), ("fish", Fish)):
        add_completion_class(kind, name)
