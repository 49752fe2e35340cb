"""What makes a name that of a secret, and a text a secret rather than an example, a path or a reference."""

from __future__ import annotations

import re

# password, DB_PASSWORD, bindpw, db.pass, apiKey: at the end of a name.
_NAME = (
    r"[\w.-]*?(?:password|passwd|passphrase|(?<![a-z])pass|(?<![a-z])pwd|(?<=bind)pw|(?<=root)pw|(?<=[_.-])pw"
    r"|(?<=db)pass|(?<=ssh)pass|secret|token|api[_-]?key|auth[_-]?key|secret[_-]?key|private[_-]?key|access[_-]?key"
    r"|client[_-]?secret|(?<![a-z])psk|preshared[_-]?key|community|(?<=[a-z])(?-i:Pass|Pwd))"
)
NAME = re.compile(_NAME + r"s?\Z", re.IGNORECASE)
# Directives of web servers and others that end so and name an address, a file or a policy.
_NO_NAME = re.compile(
    r"(?:(?:uwsgi|proxy|fastcgi|scgi|grpc|memcached|ssl_preread)_pass|(?:change|reset|forgot|no|min|max|use|ask"
    r"|allow|require|hash|public)[_-]?(?:password|passwd|pass|token|secret)s?|max[_-]?tokens?|server_tokens"
    r"|(?:password|token|secret)s?[_-](?:maps?|file|path|name|url|id)|.*(?:keyring|tokenizer)"
    r"|.*pub(?:lic)?[_-]?key.*)\Z",
    re.IGNORECASE,
)
_NO_SECRET = re.compile(
    r"""(?:true|false|yes|no|on|off|none|null|nil|undef(?:ined)?|unset|absent|present|locked|required|optional|[!*x.#-]+|\d{1,4})?$
      | (?:vault|sdb|aws|env|_env|file|https?|salt|pillar|gpg|hash|rule|redis|unix|op|ref\+\w+)://?|vault:|hash:|rule:|_env:
      | arn:aws: | (?:ssm|secretsmanager|keyring|keepass|bitwarden)::?
      | \$ANSIBLE_VAULT | NACL\[ | ENC\[ | ENC\( | \$\( | \$\{ | %\( | < | __\w+__: | / | ~/ | \$[A-Za-z_] | \.\.?/
      | ssh-(?:rsa|ed25519|dss)\s | ecdsa-sha2
      | \$(?:1|2[aby]?|5|6|y|argon2\w*)\$ | \{(?:SSHA|CRYPT|SHA)\d*\} | -----BEGIN\ (?:PGP\ MESSAGE|PUBLIC|CERT)
      | \w+\.(?:environ|getenv|get|config)\b | (?:pillar|grains|salt|config|settings|self)[.\[]""",
    re.IGNORECASE | re.VERBOSE,
)  # fmt: skip
# Words that people write where a secret is to come.
_EXAMPLE = re.compile(
    r"change[-_ ]?(?:me|it|this)|replace[-_ ]?me|example|placeholder|dummy|fake|redacted|mock"
    r"|your[-_ ]?\w|insert|todo|not[-_ ]in[-_ ]|foo-?bar|(?:dead|cafe)?beef|insecure|vagrant|somep"
    r"|some[-_ ]?other|lorem|x{4}|abcdef|^abcde(?![a-z0-9])|123456789|(?:^|[-_.])test"
    r"|test(?:ing)?[-_.]?(?:pass|secret|token|key)|default[-_ ]"
    r"|^(?:a[-_ ]|(?:my|the|some|random|very|super|top)[-_ ]?)*"
    r"(?:secret|password|passwd|pass|token|key|user(?:name)?|admin|none|empty)"
    r"(?:[-_ ]?(?:here|key|token|password|pass))?$",
    re.IGNORECASE,
)
# Most of a placeholder is such; keys in base64 have one of five signs here and there.
_RUN = re.compile(r"(.)\1{4,}", re.DOTALL)
_TEMPLATE = ("{{", "}}", "{%", "${", "%(", "#{", "<%", "\ue000")


def is_name(name: str) -> bool:
    """Whether what is called `name` is a secret by its name."""
    return NAME.match(name) is not None and _NO_NAME.match(name) is None


def is_value(value: str) -> bool:
    """Whether `value`, of something called a secret, may be one."""
    value = value.strip()
    if len(value) < 4 or any(sign in value for sign in _TEMPLATE):
        return False
    if len(_RUN.sub("", value)) * 2 < len(value):
        return False
    return _NO_SECRET.match(value) is None and _EXAMPLE.search(value) is None


def is_strong(value: str) -> bool:
    """Whether `value` looks made up for nobody to guess: a word of a language is not enough."""
    value = value.strip()
    if len(value) < 8 or " " in value or not is_value(value):
        return False
    kinds = [any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit)]
    return kinds[2] and (kinds[0] or kinds[1]) and len(set(value)) > 5
