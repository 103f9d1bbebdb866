"""Sphinx's configuration of the reading room. Nothing is executed, and no page asks another server for anything."""

project = "Video dataset distillation, reproduced"
html_title = project
author = ""
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.mathjax"]
root_doc = "index"
exclude_patterns = ["_build"]
nb_execution_mode = "off"
nb_number_source_lines = False
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence", "deflist"]
myst_heading_anchors = 3
mathjax3_config = {"svg": {"displayAlign": "left", "mtextInheritFont": True}}
mathjax_path = "tex-svg.js"  # one file with its fonts as paths, copied from its package
html_theme = "sphinx_book_theme"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_js_files = ["site.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "use_issues_button": False,
    "use_repository_button": False,
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "show_navbar_depth": 1,
    "navbar_persistent": [],
    "article_header_end": ["search-button", "theme-switcher", "toggle-secondary-sidebar"],
}
html_context = {"default_mode": "auto"}
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_default_options = {"members": True, "show-inheritance": True}
suppress_warnings = ["mystnb.unknown_mime_type", "docutils", "ref", "autodoc", "myst.header"]
