"""What README and docs point at is there, and each page of docs is listed in README."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def heading_names(page):
    """Anchors of a page: its own, and those of its headings, lower case, spaces as dashes, no other signs."""
    text = page.read_text()
    heads = re.findall(r"^#+ (.*)$", text, flags=re.M)
    return set(re.findall(r'<a id="([^"]+)">', text)) | {
        re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in heads
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_and_pictures_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in heading_names(target), link


def test_readme_lists_each_page_of_docs():
    text = (ROOT / "README.md").read_text()
    assert [p.name for p in PAGES[1:] if f"](docs/{p.name})" not in text] == []


def test_the_gallerys_pictures_are_those_that_make_gallery_copies():
    text = (ROOT / "README.md").read_text()
    gallery = text[text.index("## Gallery") :].split("\n## ")[0]
    copied = re.search(r"^SHOWN := (.*)$", (ROOT / "Makefile").read_text(), flags=re.M)
    assert copied is not None
    shown = re.findall(r"docs/images/(\w+)\.png", gallery)
    assert {"fig3_phase", "frontier", "complementarity"} <= set(shown) <= set(copied[1].split())
