"""exp, GELU and GELU's slope of one number, in forms that run in vector lanes.

In float32 they replace exp and erfc of the mathematics library, which takes one number at a time. float64 uses that
library. Without compilation (NUMBA_DISABLE_JIT=1) the same formulas run.
"""

import math

import numpy as np
from numba.extending import overload

from .jit import kernel

SMALLEST_EXPONENT = -87.0  # below it, exp is 0 in float32 but for numbers without full precision
ROUNDING = 1.5 * 2**23  # subtle: a sum with it has no bits for a fraction, so a small float32 is rounded by adding it

# exp(r) = 1 + r + r^2 (c0 + c1 r + ... + c4 r^4) for |r| <= ln 2 / 2, fitted for the least relative error, 3.1e-9.
EXP = (0.499999934, 0.166665204, 0.0416683908, 0.00836874536, 0.00138145405)


@kernel()
def exp_float32(x):
    """Return exp(x) for x <= 0 in float32: 2^n exp(r) with x = n ln 2 + r, and a polynomial for exp(r).

    exp(-inf) is 0, and NaN stays NaN.
    """
    # n = np.rint(x / np.log(2)); r = x - n * np.log(2), in two parts, the first exact for every n that occurs
    clamped = max(x, np.float32(SMALLEST_EXPONENT))
    shifted = np.float32(clamped * np.float32(1.4426950408889634) + np.float32(ROUNDING))
    n = shifted - np.float32(ROUNDING)
    r = (clamped - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    # p = np.exp(r)
    p = np.float32(EXP[4])
    p = p * r + np.float32(EXP[3])
    p = p * r + np.float32(EXP[2])
    p = p * r + np.float32(EXP[1])
    p = p * r + np.float32(EXP[0])
    p = (p * r) * r + r + np.float32(1)
    # power_of_two = 2.0**n. subtle: the last bits of `shifted` are n, and the shift drops all others but the exponent's
    power_of_two = np.int32((np.float32(shifted).view(np.int32) + np.int32(127)) << np.int32(23)).view(np.float32)
    return np.float32(0) if x < np.float32(SMALLEST_EXPONENT) else p * power_of_two


def exp(x):
    """Return exp(x) for x <= 0: `exp_float32`, or the library's in float64."""
    return exp_float32(x) if isinstance(x, np.float32) else math.exp(x)


@overload(exp)
def _compiled_exp(x):
    return (lambda x: exp_float32(x)) if getattr(x, "bitwidth", 64) == 32 else (lambda x: math.exp(x))


# erfc(u) = exp(-u * (c0 + c1 u + ... + c7 u^7)) on [0, 4], fitted for the least error of this degree, 1.6e-8
# (iteratively reweighted least squares on Chebyshev points). From 4 on, erfc is below 1.6e-8.
ERFC = (1.12838025, 0.636597733, 0.102919614, -0.0195839618, 0.000536935296, 0.00103240039, -0.000308801764,
        3.14401079e-05)  # fmt: skip
ERFC_END = 4.0


@kernel()
def below_float32(x):
    """Return the share of a normal distribution below x, in float32; the error is 7e-8 at most."""
    # tail = 0.5 * erfc(abs(x) / np.sqrt(2)): the share beyond |x|
    u = min(abs(x) * np.float32(0.7071067811865476), np.float32(ERFC_END))
    p = np.float32(ERFC[7])
    p = p * u + np.float32(ERFC[6])
    p = p * u + np.float32(ERFC[5])
    p = p * u + np.float32(ERFC[4])
    p = p * u + np.float32(ERFC[3])
    p = p * u + np.float32(ERFC[2])
    p = p * u + np.float32(ERFC[1])
    p = p * u + np.float32(ERFC[0])
    tail = np.float32(0.5) * exp_float32(-u * p) if u < np.float32(ERFC_END) else np.float32(0)
    return tail if x < np.float32(0) else np.float32(1) - tail


@kernel()
def gelu_float32(x):
    """Return x times the share of a normal distribution below x, in float32; the error is 7e-8 |x| at most."""
    return x * below_float32(x)


def gelu(x):
    """Return the exact GELU: `gelu_float32`, or by the library's erfc in float64."""
    return gelu_float32(x) if isinstance(x, np.float32) else x * 0.5 * math.erfc(-x * math.sqrt(0.5))


@overload(gelu)
def _compiled_gelu(x):
    is_float32 = getattr(x, "bitwidth", 64) == 32
    return (lambda x: gelu_float32(x)) if is_float32 else (lambda x: x * 0.5 * math.erfc(-x * math.sqrt(0.5)))


DENSITY = 0.3989422804014327  # of a normal distribution at 0: 1 / sqrt(2 pi)


@kernel()
def gelu_slope_float32(x):
    """Return the derivative of `gelu_float32`: the share of a normal distribution below x, and x times its density."""
    return below_float32(x) + x * (np.float32(DENSITY) * exp_float32(np.float32(-0.5) * x * x))


@kernel()
def gelu_slope_float64(x):
    """Return the same by the library's functions."""
    return 0.5 * math.erfc(-x * math.sqrt(0.5)) + x * (DENSITY * math.exp(-0.5 * x * x))


def gelu_slope(x):
    """Return the derivative of the exact GELU."""
    return gelu_slope_float32(x) if isinstance(x, np.float32) else gelu_slope_float64(x)


@overload(gelu_slope)
def _compiled_gelu_slope(x):
    is_float32 = getattr(x, "bitwidth", 64) == 32
    return (lambda x: gelu_slope_float32(x)) if is_float32 else (lambda x: gelu_slope_float64(x))
