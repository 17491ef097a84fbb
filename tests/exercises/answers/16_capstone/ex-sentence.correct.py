# A claim that something may be left out: a negative margin, and an expectation of nothing.
claim = {
    "sentence": "On mugs from one kitchen, pictures of 48 pixels are not worse than those of 96 by five points.",
    "challenger": Recipe(data="own", train_part="probe", image_size=48),
    "baseline": Recipe(data="own", train_part="probe", image_size=96),
    "margin": -0.05,
    "expected": 0,
}
