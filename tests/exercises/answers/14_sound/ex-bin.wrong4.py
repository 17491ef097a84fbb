# 6 of 10: cuts the bin off in place of rounding it, which is right only below the half.


def bin_of(hz, n_fft, rate):
    if not 0 <= hz <= rate / 2:
        raise ValueError("the samples cannot hold this frequency")
    return int(hz * n_fft / rate)


def frame_power(waveform, start, n_fft):
    return torch.fft.rfft(waveform[start : start + n_fft] * torch.hann_window(n_fft)).abs().square()
