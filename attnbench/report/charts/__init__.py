"""Charts as plain Vega-Lite specs, one function each, of the rows that the tables show; drawn by ``drawing``.

One spec is the static picture in a page, the live chart there, and the SVG, PNG or PDF of ``attnbench plot``. A datum
carries the figures of cases.csv under its columns' names, unrounded, beside the texts that a reader sees.

Names of users stand in data and in the domains of scales alone, never in an expression: an order is a domain, for Vega-Lite
writes a list to sort by into one.

Rejected: altair, which takes 1.6 s to import and writes the same dictionaries; matplotlib, whose pictures cannot be asked.
"""
