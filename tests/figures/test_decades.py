"""Powers of ten on logarithmic axes, as people write them."""

from analysis.drawing.decades import decades, power_of_ten


def test_powers_are_written_plainly():
    assert [power_of_ten(k) for k in (-10, -1, 0, 1, 3)] == ["10⁻¹⁰", "10⁻¹", "1", "10", "10³"]


def test_ticks_cover_the_values_and_each_finds_its_label():
    ticks = decades(0.0031, 0.8)
    assert ticks["values"] == [0.001, 0.01, 0.1, 1.0]
    assert ticks["labelExpr"] == "['10⁻³', '10⁻²', '10⁻¹', '1'][round(log(datum.value) / LN10) - (-3)]"
    assert decades(1, 1000)["values"] == [1, 10, 100, 1000]
