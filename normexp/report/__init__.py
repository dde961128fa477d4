"""Reports: figures with a sentence each, as one page, as pictures and as Markdown."""
