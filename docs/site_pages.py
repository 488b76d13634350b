"""Hooks of the site (mkdocs.yml): pages that lie outside docs/, and links that leave it."""

import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"README.md": "index.md", "CONTRIBUTING.md": "CONTRIBUTING.md", "CHANGELOG.md": "CHANGELOG.md"}
"""Pages of the repository's root, and what they are called in the site."""


def on_files(files, config):
    """Adds the root's pages and the notebooks."""
    for name, page in PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    for notebook in sorted((ROOT / "examples").glob("*.ipynb")):
        files.append(File.generated(config, f"examples/{notebook.name}", abs_src_path=str(notebook)))


def on_page_markdown(markdown, **_):
    """Links to a root's page lead to it, links to a module lead to its API page."""
    for name, page in PAGES.items():
        markdown = markdown.replace(f"](../{name}", f"]({page}")
    return re.sub(r"\]\(\.\./((?:dhauds_jax|converters)/[\w/]+)\.py\)", r"](api/\1.md)", markdown)
