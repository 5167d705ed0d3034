"""Pictures of people: each strange one is read rightly or refused in one sentence. The tests make the files."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, PngImagePlugin

from analysis.visual_tokens.images import (
    LONGEST_SIDE,
    UnreadableImageError,
    read_image,
    to_png,
)

RED, WHITE = (255, 0, 0), (255, 255, 255)


def saved(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noisy(width: int = 64, height: int = 48) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def refused(source) -> str:
    with pytest.raises(UnreadableImageError) as caught:
        read_image(source)
    assert caught.value.hint and caught.value.message.count(". ") == 0, "one sentence and what to do"
    return caught.value.message


def png_header(width: int, height: int) -> bytes:
    """A PNG that says it is this large and holds a few bytes."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b"0" * 100))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP"])
def test_plain_pictures_are_read(form):
    picture = read_image(saved(noisy(), form))
    assert picture.image.mode == "RGB" and picture.image.size == (64, 48) and not picture.notes
    if form in ("PNG", "BMP"):
        assert np.array_equal(np.asarray(picture.image), np.asarray(noisy()))


@pytest.mark.parametrize("size", [(5001, 5000), (9500, 9500), (14000, 14000)])
def test_bombs_are_refused_before_they_are_decoded(size):
    """Above our limit, above Pillow's warning, above Pillow's error."""
    assert "25 million pixels" in refused(png_header(*size))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF"])
@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_cut_off_files_are_refused(form, kept):
    data = saved(noisy(), form)
    assert "damaged" in refused(data[: int(kept * len(data))]) or form == "WEBP"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize("data", [b"", b"some text", b"\xff\xd8\xff\xe0" + b"\0" * 16, b"GIF89a"])
def test_what_is_no_picture_is_refused(data):
    refused(data)


@pytest.mark.parametrize("form", ["TIFF", "PPM", "EPS"])
def test_other_formats_are_refused(form):
    assert "not a picture" in refused(saved(noisy(), form))


def test_the_content_decides_not_the_name(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(saved(noisy(), "PNG"))
    assert np.array_equal(np.asarray(read_image(path).image), np.asarray(noisy()))
    assert "There is no file" in refused(tmp_path / "none.png")


def test_a_photograph_is_turned_upright():
    """Orientation 6: the camera was held sideways; its left edge is the top."""
    image = Image.new("RGB", (40, 20), WHITE)
    image.paste(RED, (0, 0, 10, 20))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = read_image(saved(image, "PNG", exif=exif))
    assert picture.image.size == (20, 40) and "upright" in picture.notes[0]
    assert picture.image.getpixel((10, 2)) == RED and picture.image.getpixel((10, 30)) == WHITE
    assert not picture.image.getexif()


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_of_a_moving_picture_the_first_frame_is_used(form):
    first, second = Image.new("RGB", (20, 20), RED), Image.new("RGB", (20, 20), (0, 0, 255))
    options = {"lossless": True} if form == "WEBP" else {}
    picture = read_image(saved(first, form, save_all=True, append_images=[second], **options))
    assert picture.image.getpixel((5, 5)) == RED
    assert "first of its 2 frames" in picture.notes[0]


def test_what_is_transparent_is_shown_on_white():
    """Pillow alone drops the alpha channel: clear red would become red."""
    clear = Image.new("RGBA", (8, 8), (*RED, 0))
    clear.putpixel((0, 0), (*RED, 255))
    clear.putpixel((1, 0), (0, 0, 0, 128))
    picture = read_image(saved(clear, "PNG"))
    assert picture.image.getpixel((4, 4)) == WHITE and picture.image.getpixel((0, 0)) == RED
    assert abs(picture.image.getpixel((1, 0))[0] - 127) <= 1
    assert "on white" in picture.notes[0]
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([255, 0, 0] + [0] * 765)
    assert read_image(saved(palette, "PNG", transparency=0)).image.getpixel((4, 4)) == WHITE
    grey = Image.new("LA", (8, 8), (10, 0))
    assert read_image(saved(grey, "PNG")).image.getpixel((4, 4)) == WHITE


def test_printing_colours_are_converted_and_it_is_said():
    picture = read_image(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = picture.image.getpixel((4, 4))
    assert red > 200 and green < 60 and blue < 60 and "CMYK" in picture.notes[0]


def test_sixteen_bits_are_scaled_not_cut():
    """40,000 of 65,535 is 156 of 255; Pillow alone makes it 255."""
    levels = np.array([[0, 40_000], [65_535, 257]], np.uint16)
    picture = read_image(saved(Image.fromarray(levels), "PNG"))
    assert np.asarray(picture.image)[..., 0].tolist() == [[0, 156], [255, 1]]
    assert "16 bits" in picture.notes[0]


@pytest.mark.parametrize("mode", ["F", "I"])
def test_values_of_no_known_range_are_refused(mode):
    assert "range" in refused(Image.new(mode, (8, 8), 1))


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "HSV", "LAB"])
def test_other_modes_become_red_green_blue(mode):
    assert (
        read_image(Image.new("RGB", (8, 8), WHITE).convert(mode if mode != "LAB" else "RGB")).image.mode
        == "RGB"
    )


def test_very_small_and_very_long_pictures():
    assert read_image(Image.new("RGB", (1, 1), RED)).image.size == (1, 1)
    assert "3000 x 10" in refused(Image.new("RGB", (3000, 10)))
    assert read_image(Image.new("RGB", (500, 10))).image.size == (500, 10)


def test_large_pictures_are_made_smaller_and_it_is_said():
    image = Image.new("RGB", (5000, 3000), RED)
    for form in ("JPEG", "PNG"):
        picture = read_image(saved(image, form))
        assert picture.image.size == (LONGEST_SIDE, 1229) and "Made smaller" in picture.notes[0]


def test_nothing_but_pixels_goes_out():
    """No place, no camera, no text, no colour profile."""
    exif = Image.Exif()
    exif[0x010E] = "secret"
    exif.get_ifd(0x8825)[1] = "N"
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "secret")
    data = saved(noisy(), "PNG", exif=exif, pnginfo=text, icc_profile=b"secret")
    assert b"secret" in data
    picture = read_image(data)
    assert picture.image.info == {}
    again = to_png(picture.image)
    assert b"secret" not in again and b"eXIf" not in again and b"tEXt" not in again
    assert np.array_equal(np.asarray(read_image(again).image), np.asarray(noisy()))


def test_a_text_that_unpacks_to_much_is_refused():
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "a" * (3 << 20), zip=True)
    assert "damaged" in refused(saved(noisy(), "PNG", pnginfo=text))


def test_an_open_image_is_left_as_it_is():
    image = Image.new("RGBA", (8, 8), (*RED, 0))
    read_image(image)
    assert image.mode == "RGBA" and image.getpixel((0, 0)) == (*RED, 0)
