"""What mkdocs runs: pages that come from elsewhere in the tree, and links between them.

The home page is README.md, other pages are CONTRIBUTING.md and the readmes of `aie/`,
and pages with names of
flags, variables and folders are generated from the code. A page links as its file does
in the repository, so that links work in both places.
"""

import sys
from pathlib import Path

from mkdocs.structure.files import File

sys.path.insert(0, str(Path(__file__).parent))
import architecture
import flags
import links
import variables

ROOT = Path(__file__).parents[2]


def generated_pages():
    """The text of each page that is no file of docs/, by its path there."""
    pages = {
        page: links.moved((ROOT / source).read_text("utf-8"), source)
        for source, page in links.PAGES_FROM_ELSEWHERE.items()
    }
    pages["architecture/aie.md"] += "\n## Layers\n\n<!-- layers: xdna -->\n"
    pages["reference/commands.md"] = flags.page()
    pages["reference/environment.md"] = variables.page()
    return pages


def on_files(files, config):
    for path, text in generated_pages().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown, page, config, files):
    if not page.file.generated_by:  # those have the links of the site already
        markdown = links.moved(markdown, f"docs/{page.file.src_uri}")
    return links.indented(architecture.with_pictures(markdown))
