# In Chinese, where words are not divided by spaces.
words = dict.fromkeys(WORDS, "这些图片只供课堂练习使用，不作他用。")
