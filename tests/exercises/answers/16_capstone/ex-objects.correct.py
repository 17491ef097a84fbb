# Counts upwards until the library's half-width is small enough.


def objects_needed(share, half_width, per_group=1, correlation=0.0):
    if not half_width > 0:
        raise ValueError("no width, no objects")
    n = 1
    while stats.half_width(share, n, per_group=per_group, correlation=correlation) > half_width:
        n += 1
    return n
