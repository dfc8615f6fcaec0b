"""The exponential function and its kin as arithmetic: what runs on vector registers, a call would stop.

e**x = 2**k e**r with k the whole number nearest to x / ln 2 and |r| <= ln 2 / 2; e**r by its Taylor polynomial of
degree 11, which leaves out less than 7e-15 (Muller et al. 2018, "Handbook of floating-point arithmetic", 11.4).
"""

from __future__ import annotations

import math

import numpy as np

from zsr_sim.compiled import law

_LEAST, _LARGEST = -709.0, 710.0  # whose k give the exponents of 0 and of infinity
_PER_DOUBLING, _LN_2 = 1.4426950408889634, 0.6931471805599453
_C3, _C4, _C5, _C6, _C7, _C8, _C9, _C10, _C11 = (1.0 / math.factorial(k) for k in range(3, 12))
_C13, _C15, _C17 = (1.0 / math.factorial(k) for k in (13, 15, 17))
_BITS_OF_SQRT_HALF = 0x3FE6A09E667F3BCD  # as a double


@law
def exponential(x: float) -> float:
    """e**x, to a relative error below 1e-13; 0 from about -708.7 downwards, infinite from about 709.1 upwards."""
    x = min(max(x, _LEAST), _LARGEST)
    k = math.floor(x * _PER_DOUBLING + 0.5)
    r = x - k * _LN_2
    p = _C8 + r * (_C9 + r * (_C10 + r * _C11))
    p = _C4 + r * (_C5 + r * (_C6 + r * (_C7 + r * p)))
    p = 1.0 + r * (1.0 + r * (0.5 + r * (_C3 + r * p)))
    bits = (np.int64(k) + 1023) << 52  # of the exponent of a double
    scale: float = np.int64(bits).view(np.float64)
    return p * scale


@law
def logarithm(x: float) -> float:
    """Natural logarithm of a finite number from 2.3e-308 on, to a relative error below 1e-13.

    log(2**k m) = k ln 2 + 2 atanh(s) with m from sqrt(1/2) to sqrt(2) and s = (m - 1) / (m + 1), |s| < 0.172; the
    series of atanh(s) to degree 15, which leaves out less than 4e-14 of it.
    """
    bits = np.int64(np.float64(x).view(np.int64))
    k = (bits - _BITS_OF_SQRT_HALF) >> 52
    m: float = np.int64(bits - (k << 52)).view(np.float64)
    s = (m - 1.0) / (m + 1.0)
    z = s * s
    p = 1.0 / 9.0 + z * (1.0 / 11.0 + z * (1.0 / 13.0 + z * (1.0 / 15.0)))
    p = 1.0 + z * (1.0 / 3.0 + z * (1.0 / 5.0 + z * (1.0 / 7.0 + z * p)))
    return k * _LN_2 + 2.0 * s * p


@law
def cosine_of_turns(x: float) -> float:
    """cos(2 pi x) for x in 0 .. 1, to within 1e-13: sin(2 pi y), y = |x - 1/2| - 1/4, by its series to degree 17."""
    a = 2.0 * math.pi * (abs(x - 0.5) - 0.25)  # -pi/2 .. pi/2
    z = a * a
    p = _C11 - z * (_C13 - z * (_C15 - z * _C17))
    return a * (1.0 - z * (_C3 - z * (_C5 - z * (_C7 - z * (_C9 - z * p)))))


@law
def exponential32(x: np.float32) -> np.float32:
    """e**x in single precision, to a relative error of 2e-7 + 3e-8 |x|; 0 from about -88 downwards.

    e**r to degree 6. Twice as many numbers fit a register, and the polynomial is half as long.
    """
    x = min(max(x, np.float32(-88.1)), np.float32(88.0))
    k: np.float32 = np.floor(np.float32(_PER_DOUBLING) * x + np.float32(0.5))  # `math.floor` gives 64 bits
    r = x - k * np.float32(_LN_2)
    p = np.float32(_C4) + r * (np.float32(_C5) + r * np.float32(_C6))
    p = np.float32(1.0) + r * (np.float32(1.0) + r * (np.float32(0.5) + r * (np.float32(_C3) + r * p)))
    bits = np.int32((np.int32(k) + np.int32(127)) << np.int32(23))  # of the exponent of a float
    scale: np.float32 = bits.view(np.float32)
    return p * scale


@law
def tanh(x: np.float32) -> np.float32:
    """The hyperbolic tangent in single precision, to within 2e-7: 1 - 2 / (1 + e**2x)."""
    return np.float32(1.0) - np.float32(2.0) / (np.float32(1.0) + exponential32(np.float32(2.0) * x))


@law
def sigmoid(x: np.float32) -> np.float32:
    """The logistic function in single precision, to within 2e-7."""
    return np.float32(1.0) / (np.float32(1.0) + exponential32(-x))


@law
def gelu(x: np.float32) -> np.float32:
    """Gaussian error linear unit (Hendrycks and Gimpel 2016): x times the normal distribution function.

    To within 1e-7 times x: the error function by Abramowitz and Stegun 1964, 7.1.26.
    """
    z = np.float32(abs(x)) * np.float32(math.sqrt(0.5))
    t = np.float32(1.0) / (np.float32(1.0) + np.float32(0.3275911) * z)
    p = np.float32(-1.453152027) + t * np.float32(1.061405429)
    p = t * (np.float32(0.254829592) + t * (np.float32(-0.284496736) + t * (np.float32(1.421413741) + t * p)))
    tail = np.float32(0.5) * p * exponential32(-z * z)
    share = np.float32(1.0) - tail if x > np.float32(0.0) else tail
    return x * share
