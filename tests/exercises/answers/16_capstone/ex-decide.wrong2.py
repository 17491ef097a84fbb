# 0 of 2: a section under a name of one's own.
words = dict.fromkeys([*WORDS, "praise"], "Mugs of one kitchen, for an exercise and nothing else.")
