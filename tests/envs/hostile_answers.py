"""Answers that keep a computer algebra system busy for ever, for tests."""

KINDS = (
    lambda n: rf"9^{{9^{{9^{{{9 + n}}}}}}}",
    lambda n: f"{100_000_000 + n}!",
    lambda n: rf"\sum_{{i=1}}^{{10^{{12}}+{n}}} \frac{{1}}{{i}}",
    lambda n: rf"\prod_{{i=1}}^{{10^9+{n}}} (1+\frac{{1}}{{i^2}})",
    lambda n: rf"\binom{{10^9+{n}}}{{5\cdot 10^8}}",
    lambda n: rf"(x+y+z+{n})^{{200}}",
    lambda n: rf"\int_0^{{{n}}} x^{{x^x}} \sin(e^{{x^x}}) dx",
    lambda n: rf"(((({n}+2^2)^{{99}})^{{99}})^{{99}})^{{99}}",
    lambda n: "(" * (2000 + n) + "1" + ")" * (2000 + n),
    lambda n: r"\frac{" * 14 + str(n) + "}{2}" * 14,
    lambda n: "9" * 1_000_000 + str(n),
)


def hostile_answers(n: int) -> list[str]:
    """Return `n` different hostile answers of all kinds."""
    return [KINDS[i % len(KINDS)](i + 1) for i in range(n)]
