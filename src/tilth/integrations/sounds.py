"""Wav files as samples."""

import io
import warnings

import numpy as np
import numpy.typing as npt

__all__ = ["samples"]


def samples(cell: bytes) -> tuple[int, npt.NDArray[np.float32]]:
    """Return (rate in Hz, float32[n] in -1..1) of a wav file, channels averaged; ValueError for what is no sound.

    >>> import scipy.io.wavfile
    >>> file = io.BytesIO()
    >>> scipy.io.wavfile.write(file, 8000, np.array([0, 16384], np.int16))
    >>> samples(file.getvalue())
    (8000, array([0. , 0.5], dtype=float32))

    Integer and float samples of any rate.
    """
    from scipy.io import wavfile  # here, so that who has no sounds does not pay for it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", wavfile.WavFileWarning)  # chunks with titles and the like, which are not needed
        rate, sound = wavfile.read(io.BytesIO(cell))
    if sound.dtype.kind == "u":
        wave = sound.astype(np.float32) / 128 - 1
    elif sound.dtype.kind == "i":
        wave = sound.astype(np.float32) / -float(np.iinfo(sound.dtype).min)
    else:
        wave = sound.astype(np.float32)
    if wave.ndim == 2:
        wave = wave.mean(1)
    if len(wave) == 0 or rate < 200:
        raise ValueError(f"{len(wave)} samples at {rate} Hz are no sound")
    if not np.isfinite(wave).all():
        raise ValueError("some samples are no finite numbers")
    return rate, wave
