# 0 of 4: a wish, with nothing to compare with.
claim = {
    "sentence": "The network will be able to recognise all of my mugs with a very high accuracy.",
    "challenger": Recipe(data="own", train_part="probe", image_size=SIZE),
    "baseline": None,
    "margin": 0.05,
    "expected": 30,
}
