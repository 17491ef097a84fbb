"""What the theme leaves out is mended, each rule on the line that the theme writes."""

import pytest

from book.tools.theme import mended

SIDEBAR = (
    '<li class="toctree-l1 has-children"><a class="reference internal" href="../chapters/05.html">5 · What "fits"?</a>'
    '<details><summary><span class="toctree-toggle"></span></summary>'
)

CURRENT = SIDEBAR.replace('"reference', '"current reference').replace(
    "<summary>", '<summary aria-label="Pages below 5 · What &quot;fits&quot;?">'
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('<summary aria-label="Toggle hidden content">\n<p>', "<summary>\n<p>"),
        (SIDEBAR, SIDEBAR.replace("<summary>", '<summary aria-label="Pages below 5 · What &quot;fits&quot;?">')),
        (
            '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light" title="Light"></i>',
            '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light" aria-hidden="true"></i>',
        ),
        (
            '<button class="btn search-button-field x" title="Search" aria-label="Search" data-bs-placement="bottom">',
            '<button class="btn search-button-field x" data-bs-placement="bottom">',
        ),
        (
            '<button class="btn search-button-field x" title="搜索" aria-label="搜索" data-bs-placement="bottom">',
            '<button class="btn search-button-field x" data-bs-placement="bottom">',
        ),
        (
            '<table style="width: 100%" class="indextable genindextable"><tr>',
            '<table role="presentation" style="width: 100%" class="indextable genindextable"><tr>',
        ),
        (SIDEBAR.replace('"reference', '"current reference'), CURRENT),
        (
            '<table class="indextable modindextable"><tr>',
            '<table role="presentation" class="indextable modindextable"><tr>',
        ),
        (
            'f(<dl>\n<dd><em class="sig-param">a</em>,</dd>\n<dd><em class="sig-param">b</em>,</dd>\n</dl>\n)',
            'f(<span class="clslab-parameter"><em class="sig-param">a</em>,</span>\n'
            '<span class="clslab-parameter"><em class="sig-param">b</em>,</span>\n\n)',
        ),
        ("<dl><dt>a</dt><dd>b</dd></dl>", "<dl><dt>a</dt><dd>b</dd></dl>"),
        (
            '<table class="table"><tbody><tr class="row-odd"><td>a</td><td>b</td></tr></tbody></table>',
            '<table class="table"><tbody><tr class="row-odd"><th scope="row">a</th><td>b</td></tr></tbody></table>',
        ),
        (
            '<table class="table"><tr><th>x</th></tr><tr><td>a</td></tr></table>',
            '<table class="table"><tr><th>x</th></tr><tr><td>a</td></tr></table>',
        ),
        ('<td id="x" class="data">58.4 [51.2, 65.0]</td>', '<td id="x" class="data">58.4 [51.2,\u00a065.0]</td>'),
        ('<td class="data">51.2–65.0</td>', '<td class="data">51.2\u2060–\u206065.0</td>'),
        ("<p>51.2–65.0</p>", "<p>51.2–65.0</p>"),
        ("<td>+0.02 [-0.1, +0.3]</td>", "<td>+0.02 [-0.1,\u00a0+0.3]</td>"),
        ('<td id="T_a1_row0_col1" class="data row0 col1" >7</td>', "<td>7</td>"),
        (
            '<style>#T_a1_row0_col1 {color: red}</style><td id="T_a1_row0_col1" class="data row0 col1" >7</td>',
            '<style>#T_a1_row0_col1 {color: red}</style><td id="T_a1_row0_col1" class="data row0 col1" >7</td>',
        ),
        ('<span class="n">x</span><span class="p">(</span><span class="w"> </span>', "x( "),
        ('<span class="k">if</span>', '<span class="k">if</span>'),
        ("<p>58.4 [51.2, 65.0]</p>", "<p>58.4 [51.2, 65.0]</p>"),
        ("<td>one, two [three]</td>", "<td>one, two [three]</td>"),
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        (
            '<a class="reference internal" href="a.html">A</a> <p>',
            '<a class="reference internal" href="a.html">A</a> <p>',
        ),
        ("<summary>A hint</summary>", "<summary>A hint</summary>"),
    ],
)
def test_a_line_is_mended_once(before, after):
    assert mended(before) == after
    assert mended(after) == after
