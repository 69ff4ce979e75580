"""What names, labels and keys may look like (apimachinery's pkg/api/validate/content). Pure."""

from __future__ import annotations

import re
from typing import Final

_LABEL: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN: Final = rf"{_LABEL}(\.{_LABEL})*"
_DNS_1035: Final = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_KEY: Final = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE: Final = rf"({_KEY})?"
_ENVIRONMENT: Final = r"[ -<>-~]+"
_CONFIG_KEY: Final = r"[-._a-zA-Z0-9]+"


def _unlike(text: str, form: str, *examples: str) -> str:
    """The sentence for what does not match an expression (validation.RegexError)."""
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{form}')"


def dns_label(name: str) -> list[str]:
    """What is wrong with a DNS label."""
    faults = [] if len(name) <= 63 else ["must be no more than 63 bytes"]
    if not re.fullmatch(_LABEL, name):
        text = (
            "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
            "and must start and end with an alphanumeric character"
        )
        faults.append(_unlike(text, _LABEL, "my-name", "123-abc"))
    return faults


def dns_subdomain(name: str) -> list[str]:
    """What is wrong with a DNS subdomain, which most names are."""
    faults = [] if len(name) <= 253 else ["must be no more than 253 bytes"]
    if not re.fullmatch(_SUBDOMAIN, name):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        faults.append(_unlike(text, _SUBDOMAIN, "example.com"))
    return faults


def dns_1035_label(name: str) -> list[str]:
    """What is wrong with a Service's name."""
    faults = [] if len(name) <= 63 else ["must be no more than 63 characters"]
    if not re.fullmatch(_DNS_1035, name):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        faults.append(_unlike(text, _DNS_1035, "my-name", "abc-123"))
    return faults


def path_segment(name: str) -> list[str]:
    """What is wrong with a name that may be anything that fits into a path, as those of RBAC's kinds."""
    if name in (".", ".."):
        return [f"may not be '{name}'"]
    return [f"may not contain '{bad}'" for bad in "/%" if bad in name]


def qualified(key: str) -> list[str]:
    """What is wrong with the key of a label or an annotation, or a finalizer."""
    must = (
        "must consist of alphanumeric characters, '-', '_' or '.', "
        "and must start and end with an alphanumeric character"
    )
    prefix, slash, name = key.rpartition("/")
    faults = []
    if "/" in prefix:
        text = _unlike(must, _KEY, "MyName", "my.name", "123-abc")
        return [f"a valid label key {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash:
        if not prefix:
            faults.append("prefix part must be non-empty")
        else:
            faults += [f"prefix part {fault}" for fault in dns_subdomain(prefix)]
    if not name:
        faults.append("name part must be non-empty")
    elif len(name) > 63:
        faults.append("name part must be no more than 63 bytes")
    if not re.fullmatch(_KEY, name):
        faults.append(f"name part {_unlike(must, _KEY, 'MyName', 'my.name', '123-abc')}")
    return faults


def label_value(value: str) -> list[str]:
    """What is wrong with a label's value."""
    faults = [] if len(value) <= 63 else ["must be no more than 63 bytes"]
    if not re.fullmatch(_VALUE, value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        faults.append(_unlike(text, _VALUE, "MyValue", "my_value", "12345"))
    return faults


def environment(name: str) -> list[str]:
    """What is wrong with the name of an environment variable."""
    if re.fullmatch(_ENVIRONMENT, name):
        return []
    return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]


def config_key(key: str) -> list[str]:
    """What is wrong with a key of a ConfigMap or a Secret."""
    faults = [] if len(key) <= 253 else ["must be no more than 253 characters"]
    if not re.fullmatch(_CONFIG_KEY, key):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        faults.append(_unlike(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return faults


def port_name(name: str) -> list[str]:
    """What is wrong with the name of a container's port."""
    faults = [] if len(name) <= 15 else ["must be no more than 15 characters"]
    if not re.fullmatch(r"[-a-z0-9]+", name):
        faults.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", name):
        faults.append("must contain at least one letter (a-z)")
    if "--" in name:
        faults.append("must not contain consecutive hyphens")
    if name.startswith("-") or name.endswith("-"):
        faults.append("must not begin or end with a hyphen")
    return faults
