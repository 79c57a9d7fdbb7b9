from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.gateway.web.dice import Dice
from services.gateway.web.poster_art import FAMILIES, PALETTES, Palette
from services.gateway.web.posters import Subject, draw, family_of

SUBJECT = Subject("c1", "The Glass Foundry", "Rock", "12.12.2030", "Berlin")
MAX_POSTER_CHARS = 6000


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_same_concert_always_gets_the_same_picture() -> None:
    assert draw(SUBJECT) == draw(replace(SUBJECT))
    assert draw(SUBJECT) != draw(replace(SUBJECT, concert_id="c2"))


def test_dice_never_change() -> None:
    """Posters are kept for a year under one address: other dice would need another revision."""
    dice = Dice("c1")
    assert [dice.below(100) for _ in range(6)] == [58, 35, 67, 7, 85, 57]


def test_the_version_follows_everything_that_is_shown() -> None:
    changed = [replace(SUBJECT, **{name: "other"}) for name in ("concert_id", "artist", "genre", "when", "where")]
    assert len({subject.version for subject in (SUBJECT, *changed)}) == 6


@pytest.mark.parametrize("genre", ["Rock", "Techno", "Jazz", "Classical", "Pop", "Indie", "Hip-Hop", "World"])
def test_every_family_draws_a_small_whole_document(genre: str) -> None:
    drawing = draw(replace(SUBJECT, genre=genre))
    root = ET.fromstring(drawing)
    assert root.attrib["viewBox"] == "0 0 400 500"
    assert len(drawing) < MAX_POSTER_CHARS
    assert {"THE", "GLASS", "FOUNDRY"} <= set(" ".join(root.itertext()).split())


def test_genres_choose_the_family() -> None:
    chosen = {family_of(g) for g in ("Rock", "Techno", "Jazz", "Classical", "Pop", "Indie", "Hip-Hop", "World")}
    assert chosen == set(FAMILIES)
    assert family_of("hip hop") == family_of("Hip-Hop")
    assert family_of("Something new") == family_of("something NEW")


@given(artist=st.text(max_size=200), genre=st.text(max_size=30), place=st.text(max_size=60))
def test_no_data_breaks_the_document(artist: str, genre: str, place: str) -> None:
    root = ET.fromstring(draw(Subject("c1", artist, genre, "12.12.2030", place)))
    assert root.attrib["viewBox"] == "0 0 400 500"


def test_markup_in_a_name_is_text() -> None:
    drawing = draw(replace(SUBJECT, artist='<script>alert("1")</script>', where="</svg><script>"))
    assert "<script" not in drawing


@pytest.mark.parametrize("palette", PALETTES)
def test_lettering_is_legible_on_its_ground(palette: Palette) -> None:
    low, high = sorted((luminance(palette.ground), luminance(palette.ink)))
    assert (high + 0.05) / (low + 0.05) >= 4.5
