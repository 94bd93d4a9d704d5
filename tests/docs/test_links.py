"""Every link inside the documentation leads somewhere, and every page can be reached."""

from __future__ import annotations

import pytest

from .page import ROOT, Page, pages


def _inner(page: Page) -> list[str]:
    return [link for link in page.links() if "://" not in link and not link.startswith("mailto:")]


@pytest.mark.parametrize("page", pages(), ids=repr)
def test_links_lead_to_files_and_headings_that_exist(page: Page) -> None:
    for link in _inner(page):
        path, _, anchor = link.partition("#")
        file = (page.file.parent / path).resolve() if path else page.file

        assert file.exists(), link
        assert not anchor or anchor in Page(file).anchors(), link


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, frontier = set(), [ROOT / "docs" / "index.md"]
    while frontier:
        file = frontier.pop()
        if file in reached:
            continue
        reached.add(file)
        frontier += [
            (file.parent / link.partition("#")[0]).resolve()
            for link in _inner(Page(file))
            if link.partition("#")[0].endswith(".md")
        ]

    missing = {page.name for page in pages() if page.file not in reached}

    assert missing - {"README.md"} == set()
