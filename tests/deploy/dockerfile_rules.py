"""Our own rules of an image, beside hadolint's: pinned, non-root, from the lock, no stray files, no secrets."""

import re


def broken_rules(dockerfile: str) -> list[str]:
    """Return what a Dockerfile breaks, one sentence each; none when it is as it must be."""
    text = re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", dockerfile, flags=re.MULTILINE))
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    broken: list[str] = []
    if not all(rest.split()[0].endswith("@${PYTHON_DIGEST}") for word, rest in lines if word == "FROM"):
        broken.append("a base image is not pinned by digest")
    users = [rest for word, rest in lines if word == "USER"]
    if not users or not users[-1].isdigit() or int(users[-1]) < 10000:
        broken.append("the last USER is not a numeric one without privileges")
    for word, rest in lines:
        if word == "ADD":
            broken.append(f"ADD {rest}: COPY says what it does")
        if word == "COPY" and rest.split()[0] == ".":
            broken.append("the whole folder is copied")
        if word == "RUN" and "pip install" in rest:
            broken += _unhashed(rest)
        if word in ("ENV", "ARG") and re.search(r"(TOKEN|SECRET|PASSWORD|KEY)\b", rest):
            broken.append(f"{word} {rest.split('=')[0]}: a secret in a layer")
    return broken


def _unhashed(command: str) -> list[str]:
    """Return what an installation lacks: pip takes nothing without a hash, uv nothing that differs from the lock."""
    broken = []
    for part in re.findall(r"[^&;]*pip install[^&;]*", command):
        flags = ["--no-cache", "--constraint hashes.txt", "--build-constraint hashes.txt"]
        flags = flags if " uv pip" in f" {part.strip()}" else ["--no-cache-dir", "--require-hashes"]
        broken += [f"pip install without {flag}" for flag in flags if flag not in f"{part} "]
    return broken
