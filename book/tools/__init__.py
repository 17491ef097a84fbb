"""The book's tools: build, pairs of notebooks, numbers in prose, costs, data sheets, web address.

Each is a command, `python -m book.tools.NAME`, run from the root of the repository; the Makefile
calls them all.
"""
