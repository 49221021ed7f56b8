"""Chemical symbols by atomic number, and how bright each is in HAADF."""

from jaxrvae._checks import one_of
from jaxrvae.simulate.imaging import ATOMIC_NUMBERS, CONTRAST_EXPONENT

SYMBOLS: tuple[str, ...] = tuple(
    "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn "
    "Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce "
    "Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At "
    "Rn Fr Ra Ac Th Pa U Np Pu Am Cm".split()
)


def atomic_number(symbol: str) -> int:
    """Of a chemical symbol.

    >>> atomic_number("Mo")
    42
    """
    one_of("element", symbol, SYMBOLS[1:])
    return SYMBOLS.index(symbol)


def brightness(number: int) -> float:
    """HAADF intensity of one atom relative to carbon's.

    >>> round(brightness(14), 2)
    4.22
    """
    return (number / ATOMIC_NUMBERS["C"]) ** CONTRAST_EXPONENT


def formula(numbers: tuple[int, ...]) -> str:
    """Of the atoms of a column, heaviest first.

    >>> formula((16, 16)), formula((8, 22))
    ('S2', 'TiO')
    """
    counted = {z: numbers.count(z) for z in sorted(set(numbers), reverse=True)}
    return "".join(SYMBOLS[z] + (str(n) if n > 1 else "") for z, n in counted.items())
