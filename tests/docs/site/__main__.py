"""Lay out the pages of the site, in the folder that mkdocs.yml names."""

from tests.docs.pages import ROOT
from tests.docs.site.layout import lay_out

lay_out(ROOT / "site" / "pages")
