"""Texts that act on what shows them: terminals, HTML, Markdown, spreadsheets, templates."""

from __future__ import annotations

TERMINAL = {
    "escape": "a\x1b[2J\x1b[31mb",
    "link": "a\x1b]8;;http://evil.example/\x07b\x1b]8;;\x1b\\",
    "title": "a\x1b]0;owned\x07b",
    "eight-bit escape": "a\x9b31mb\x9d0;x\x9c",
    "bell and backspace": "a\a\b\b\bb",
    "carriage return": "refused\rready to run",
    "form feed": "a\f\v\x85b",
    "null": "a\0b",
    "delete": "a\x7fb",
    "right to left": "a\u202eevil\u202cb\u2066c\u2069",
    "marks": "a\u200e\u200f\u061cb",
    "zero width": "a\u200bb\u2060c\ufeffd\u200de\u00adf",
    "separators": "a\u2028b\u2029c",
    "tags": "a\U000e0041\U000e007fb",
}

MARKUP = {
    "script": "a<script>alert(1)</script>b",
    "picture": 'a"><img src=x onerror=alert(1)>b',
    "end of a style": "</style></svg></title><b>q",
    "comment": "a<!-- b",
    "processing": "a<?php ?><![CDATA[b]]>",
    "entity": "a&lt;b&#60;c&amp;d",
    "attribute": "a\" onmouseover='alert(1)' b",
    "drawn picture": "a![b](http://evil.example/c.png)d",
    "drawn link": "a[b](javascript:alert(1))c",
    "reference": "[a]: http://evil.example/ 'b'",
    "referred": "![a][b] [c][] [d]",
    "footnote": "a[^1] [^1]: b",
    "address": "a http://evil.example/ www.evil.example <http://evil.example> b",
    "code": "a `b` ``c`` ```d``` `",
    "row": "| a | b |\n| --- | --- |\n| c | d |",
    "heading": "# a\n## b",
    "underlined": "a\n===\nb\n---\nc",
    "rules": "---\n***\n___",
    "list": "- a\n* b\n+ c\n1. d\n1) e",
    "quote": "> a\n> b",
    "indented": "a\n\n        b\n\tc",
    "fence": "~~~\na\n~~~\n```\nb\n```",
    "emphasis": "*a* **b** _c_ __d__ ~~e~~ f*g*h",
    "mathematics": "$a$ $$\\frac{1}{$ \\(b\\)",
    "backslashes": "a\\ b\\\\ c\\* d\\",
    "raw end": "a</details></pre></code></textarea>b",
    "template": "{{ 7 * 7 }}{% raw %}{# a #}",
    "console": "[red]a[/red][/] :smile: [link=http://evil.example]b",
    "formula": "=cmd|' /C calc'!A0",
}

ALL = {**TERMINAL, **MARKUP}
