# 0 of 2: one section is left empty, as it usually is.
words = dict.fromkeys(WORDS, "Mugs of one kitchen, for an exercise and nothing else.") | {"ethics": ""}
