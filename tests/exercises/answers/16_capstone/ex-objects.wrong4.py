# 3 of 6: refuses a half-width of zero, and takes a negative one for its square.


def objects_needed(share, half_width, per_group=1, correlation=0.0):
    if half_width == 0:
        raise ValueError("give a share that is not zero")
    effect = 1 + (per_group - 1) * correlation
    return math.ceil(share * (1 - share) * effect / per_group * (1.959964 / half_width) ** 2)
