"""Names that symlinks add to a tree."""

from saltbranch.git.links import names


def test_links_in_a_circle_end() -> None:
    """Each of them leads to the folder that holds them all: every order of them would be a name."""
    links = {f"salt/d/l{n}": "../d" for n in range(9)}

    found = names(["salt/d/init.sls"], links, ["salt"])

    assert found == {f"salt/d/l{n}/init.sls": "salt/d/init.sls" for n in range(9)}


def test_a_link_below_a_link_is_followed() -> None:
    links = {"salt/a": "../formulas/a", "formulas/a/b": "../b"}

    found = names(["formulas/a/init.sls", "formulas/b/x.sls"], links, ["salt"])

    assert found == {
        "salt/a/init.sls": "formulas/a/init.sls",
        "salt/a/b/x.sls": "formulas/b/x.sls",
    }
