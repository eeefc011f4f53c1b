"""How Sphinx builds the documentation: `make site`. Nothing is fetched while it does."""

project = "Nexus"
author = "The Nexus developers"
project_copyright = "The Nexus developers"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
html_theme = "furo"
html_title = "Nexus"
html_static_path = ["_static"]
html_copy_source = False
html_show_sphinx = False
myst_heading_anchors = 3
myst_links_external_new_tab = True
suppress_warnings = ["myst.header"]
nitpicky = True
