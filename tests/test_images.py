"""Decoding of odd images and lossless round trips; every input is made here with Pillow or by hand."""

import io
import re
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image, ImageFile

from toffee_pipeline import images
from toffee_pipeline.errors import ImageError
from toffee_pipeline.images import decode, read_file


def scene(height: int = 48, width: int = 64) -> np.ndarray:
    """Smooth RGB (H, W, 3) without any symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + 2 * y) * 255 // (width + 2 * height)], -1).astype(
        np.uint8
    )


def save(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, rows: bytes, extra: bytes = b"") -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def progressive(num_scans: int, more: bytes = b"") -> bytes:
    """A gray JPEG that repeats its last scan, a refinement without any bits, until there are so many."""
    plain = save(Image.fromarray(scene()).convert("L"), "JPEG", progressive=True)
    starts = [match.start() for match in re.finditer(b"\xff\xda", plain)]
    last = plain[starts[-1] : -2]
    return plain[:2] + more + plain[2:-2] + last * (num_scans - len(starts)) + plain[-2:]


class TestDecode:
    @pytest.mark.parametrize("format", images.FORMATS)
    def test_formats(self, format):
        options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 95}}.get(format, {})
        rgb = decode(save(Image.fromarray(scene()), format, **options))
        assert rgb.shape == (48, 64, 3) and rgb.dtype == np.uint8 and rgb.flags.writeable
        tolerance = {"JPEG": 8, "AVIF": 8, "GIF": 40}.get(format, 0)
        assert np.abs(rgb.astype(int) - scene()).max() <= tolerance

    @pytest.mark.parametrize("format", [name for name in images.FORMATS if name not in ("BMP", "GIF")])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation(self, orientation, format):
        upright = scene()
        # What a camera stores, so that the tag brings it upright (EXIF 2.3, tag 0x0112).
        stored = {
            1: upright,
            2: upright[:, ::-1],
            3: upright[::-1, ::-1],
            4: upright[::-1],
            5: upright.transpose(1, 0, 2),
            6: upright.transpose(1, 0, 2)[::-1],
            7: upright[::-1, ::-1].transpose(1, 0, 2),
            8: upright.transpose(1, 0, 2)[:, ::-1],
        }[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {
            "JPEG": {"quality": 95, "subsampling": 0},
            "WEBP": {"lossless": True},
            "AVIF": {"quality": 95, "subsampling": "4:4:4"},
        }.get(format, {})
        data = save(Image.fromarray(np.ascontiguousarray(stored)), format, exif=exif, **options)
        difference = np.abs(decode(data).astype(int) - upright)
        assert difference.max() <= (8 if format in ("JPEG", "AVIF") else 0)

    @pytest.mark.skipif("AVIF" not in images.FORMATS, reason="this Pillow is built without AVIF")
    def test_suffixes_that_only_some_use_for_what_is_read(self, tmp_path):
        for suffix, format in ((".jfif", "JPEG"), (".jpe", "JPEG"), (".avif", "AVIF")):
            (tmp_path / f"a{suffix}").write_bytes(save(Image.fromarray(scene()), format))
            assert suffix in images.SUFFIXES
            assert read_file(tmp_path / f"a{suffix}").shape == (48, 64, 3)

    def test_cmyk_colours(self):
        colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]
        for colour in colours:
            cmyk = Image.new("RGB", (16, 16), colour).convert("CMYK")
            for data in (save(cmyk, "JPEG", quality=95), save(cmyk, "TIFF")):
                assert np.abs(decode(data).astype(int) - colour).max() <= 4

    def test_gray_and_bilevel(self):
        gray = scene()[..., 0]
        assert (decode(save(Image.fromarray(gray), "PNG")) == gray[..., None]).all()
        bits = gray > 100
        assert (decode(save(Image.fromarray(bits), "PNG")) == bits[..., None] * np.uint8(255)).all()

    @pytest.mark.parametrize("format", ["PNG", "TIFF"])
    def test_gray_16_bit(self, format):
        levels = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
        rgb = decode(save(Image.fromarray(levels), format))
        assert rgb.min() == 0 and rgb.max() == 255
        assert (rgb == np.rint(levels / 257).astype(np.uint8)[..., None]).all()

    def test_gray_16_bit_white_is_zero_tiff(self):
        data = save(Image.fromarray(np.full((4, 4), 65535, np.uint16)), "TIFF")
        entry = struct.pack("<HHIH", 262, 3, 1, 1)
        assert data.count(entry) == 1
        assert (decode(data.replace(entry, struct.pack("<HHIH", 262, 3, 1, 0))) == 0).all()

    def test_gray_16_bit_with_transparent_level(self):
        rows = b"\0" + struct.pack(">HH", 1000, 30000)
        rgb = decode(png(2, 1, 16, 0, rows, chunk(b"tRNS", struct.pack(">H", 1000))))
        assert rgb[0].tolist() == [[255] * 3, [117] * 3]

    def test_rgb_16_bit(self):
        rgb = decode(png(1, 1, 16, 2, b"\0" + struct.pack(">HHH", 65535, 0x8080, 0)))
        assert rgb.tolist() == [[[255, 128, 0]]]

    def test_32_bit_gray_is_refused(self):
        for mode in ("I", "F"):
            with pytest.raises(ImageError, match="^x.tif: 32-bit gray"):
                decode(save(Image.new(mode, (4, 4), 3), "TIFF"), "x.tif")

    def test_alpha_over_white(self):
        rgba = np.zeros((1, 3, 4), np.uint8)
        rgba[0, :, 0], rgba[0, :, 3] = 200, (0, 128, 255)
        for format, options in (("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})):
            rgb = decode(save(Image.fromarray(rgba), format, **options)).astype(int)
            assert np.abs(rgb - [[[255, 255, 255], [227, 127, 127], [200, 0, 0]]]).max() <= 1
        la = Image.fromarray(rgba).convert("LA")
        assert decode(save(la, "PNG"))[0, 0].tolist() == [255, 255, 255]

    def test_palette_with_transparency(self):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putdata([0, 1])
        assert decode(save(image, "PNG")).tolist() == [[[10, 20, 30], [40, 50, 60]]]
        for data in (
            save(image, "PNG", transparency=0),
            save(image, "PNG", transparency=b"\x00\xff"),
            save(image, "GIF", transparency=0),
        ):
            assert decode(data).tolist() == [[[255, 255, 255], [40, 50, 60]]]

    def test_transparent_colour_of_rgb(self):
        image = Image.new("RGB", (1, 1), (1, 2, 3))
        assert decode(save(image, "PNG", transparency=(1, 2, 3))).tolist() == [[[255, 255, 255]]]

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF"])
    def test_animation_gives_the_first_frame(self, format):
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        options = {"WEBP": {"lossless": True}}.get(format, {})
        data = save(frames[0], format, save_all=True, append_images=frames[1:], **options)
        assert (decode(data) == [255, 0, 0]).all()

    def test_threads_agree(self):
        data = save(Image.fromarray(scene()), "PNG")
        with ThreadPoolExecutor(8) as pool:
            assert all((rgb == scene()).all() for rgb in pool.map(decode, [data] * 64))


class TestRefused:
    def test_zero_bytes(self):
        with pytest.raises(ImageError, match="^cat.png: empty, 0 bytes$"):
            decode(b"", "cat.png")

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
    @pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
    def test_truncated(self, format, part):
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        data = save(Image.fromarray(noise), format)
        with pytest.raises(ImageError, match="^cat: (truncated or broken|not an image)") as caught:
            decode(data[: int(len(data) * part)], "cat")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize("seed", range(60))
    def test_damaged_bytes_are_image_errors_or_images(self, seed):
        random = np.random.default_rng(seed)
        format = ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"][seed % 6]
        data = bytearray(save(Image.fromarray(scene()), format))
        for place in random.integers(0, min(len(data), 300), 6):
            data[place] = random.integers(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                rgb = decode(bytes(data), max_pixels=100_000)
            except ImageError as error:
                assert str(error).startswith("image: ") and "\n" not in str(error)
            else:
                assert rgb.dtype == np.uint8 and rgb.shape[2] == 3

    def test_text_renamed_to_jpg(self, tmp_path):
        path = tmp_path / "note.jpg"
        path.write_text("not a picture\n" * 20)
        with pytest.raises(ImageError, match="note.jpg: not an image.*allowed are JPEG, PNG"):
            read_file(path)

    def test_formats_outside_the_list(self):
        for format in ("PPM", "ICO", "TGA"):
            with pytest.raises(ImageError, match="not an image"):
                decode(save(Image.fromarray(scene()), format))

    @pytest.mark.parametrize("side", [9_000, 12_000, 60_000])
    def test_bomb_is_stopped_at_its_header(self, side):
        data = png(side, side, 8, 2, b"")
        assert len(data) < 100
        for action in ("ignore", "error"):
            with warnings.catch_warnings():
                warnings.simplefilter(action, Image.DecompressionBombWarning)
                with pytest.raises(ImageError, match="^bomb: .*too many pixels; allowed are 64000000"):
                    decode(data, "bomb")

    def test_limits_are_inclusive(self):
        data = save(Image.fromarray(scene()), "PNG")
        assert decode(data, max_pixels=48 * 64, max_bytes=len(data)).shape == (48, 64, 3)
        with pytest.raises(ImageError, match="64 x 48 px are too many pixels; allowed are 3071"):
            decode(data, max_pixels=48 * 64 - 1)
        with pytest.raises(ImageError, match=f"{len(data)} bytes are too many; allowed are {len(data) - 1}"):
            decode(data, max_bytes=len(data) - 1)

    def test_pillow_settings_are_left_alone(self):
        before = Image.MAX_IMAGE_PIXELS
        decode(save(Image.fromarray(scene()), "PNG"))
        assert (before, False) == (Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES)


class TestReadFile:
    def test_reads(self, tmp_path):
        (tmp_path / "a.png").write_bytes(save(Image.fromarray(scene()), "PNG"))
        assert (read_file(tmp_path / "a.png") == scene()).all()

    def test_missing_folder_empty_and_large(self, tmp_path):
        with pytest.raises(ImageError, match="none.png: no such file"):
            read_file(tmp_path / "none.png")
        with pytest.raises(ImageError, match="no such file"):
            read_file(tmp_path)
        (tmp_path / "empty.png").touch()
        with pytest.raises(ImageError, match="empty.png: empty, 0 bytes"):
            read_file(tmp_path / "empty.png")
        with (tmp_path / "large.png").open("wb") as file:
            file.truncate(1 << 40)  # sparse: reading it would be felt
        with pytest.raises(ImageError, match="large.png: 1099511627776 bytes are too many"):
            read_file(tmp_path / "large.png")


class TestFitSquare:
    def test_takes_the_centre(self):
        wide = np.zeros((4, 10, 3), np.uint8)
        wide[:, 3:7] = 255
        assert (images.fit_square(wide, 4) == 255).all()
        assert (images.fit_square(wide.transpose(1, 0, 2), 8) == 255).all()
        assert (images.fit_square(scene(64, 64), 64) == scene(64, 64)).all()

    def test_does_not_alias(self):
        checkers = np.indices((256, 256)).sum(0) % 2 * np.uint8(255)
        small = images.fit_square(np.repeat(checkers[..., None], 3, -1).astype(np.uint8), 32)
        assert small.shape == (32, 32, 3) and np.abs(small.astype(int) - 127).max() <= 3

    def test_bad_input(self):
        for array in (scene()[..., 0], scene() / 255, np.zeros((0, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8)):
            with pytest.raises(ImageError, match=r"allowed is uint8 \(H, W, 3\)"):
                images.fit_square(array, 8)
        with pytest.raises(ImageError, match="size_px is 0"):
            images.fit_square(scene(), 0)


class TestEncode:
    @pytest.mark.parametrize("level", [0, 1, 9])
    def test_png_is_lossless(self, level):
        assert (decode(images.encode_png(scene()[::-1, ::-1], level)) == scene()[::-1, ::-1]).all()

    @pytest.mark.parametrize(("format", "magic"), [("png", b"\x89PNG"), ("webp", b"RIFF"), ("jpeg", b"\xff\xd8")])
    def test_equal_input_gives_equal_bytes(self, format, magic):
        data = images.encode(scene(), format, 90)
        assert data == images.encode(scene().copy(), format, 90) and data.startswith(magic)
        assert np.abs(decode(data).astype(int) - scene()).mean() < 3

    def test_bad_input(self):
        for call, message in [
            (lambda: images.encode(scene(), "gif", 90), "format 'gif': allowed are png, webp and jpeg"),
            (lambda: images.encode(scene(), "jpeg", 0), "quality is 0; allowed is 1 to 100"),
            (lambda: images.encode(np.zeros((1, 16384, 3), np.uint8), "webp", 90), "webp allows 16383 px"),
            (lambda: images.encode_png(scene(), 10), "level is 10; allowed is 0 to 9"),
            (lambda: images.encode_png(scene() / 255), "array of float64"),
            (lambda: images.encode_mask(scene()[..., 0]), r"allowed is bool \(H, W\)"),
            (lambda: images.encode_depth(np.full((2, 2), np.nan, np.float32)), "NaN"),
            (lambda: images.encode_depth(np.full((2, 2), 1.1, np.float32)), "0..1"),
            (lambda: images.encode_depth(np.zeros((2, 2))), "allowed is float32"),
        ]:
            with pytest.raises(ImageError, match=message):
                call()

    def test_mask_round_trip(self):
        mask = scene()[..., 0] > 100
        data = images.encode_mask(mask)
        assert data == images.encode_mask(mask) and (images.decode_mask(data) == mask).all()
        assert images.decode_mask(data).dtype == np.bool_ and Image.open(io.BytesIO(data)).mode == "L"
        assert (decode(data) == mask[..., None] * np.uint8(255)).all()

    def test_depth_round_trip(self):
        depth = np.random.default_rng(0).random((64, 80), np.float32)
        depth[0, 0], depth[0, 1] = 0, 1
        data = images.encode_depth(depth)
        assert data == images.encode_depth(depth) and Image.open(io.BytesIO(data)).mode == "I;16"
        back = images.decode_depth(data)
        assert back.dtype == np.float32 and back[0, 0] == 0 and back[0, 1] == 1
        assert np.abs(back.astype(np.float64) - depth).max() <= 1 / 65535

    def test_mask_and_depth_refuse_others(self):
        rgb, mask = images.encode_png(scene()), images.encode_mask(scene()[..., 0] > 1)
        with pytest.raises(ImageError, match="^m: mode RGB; a mask is"):
            images.decode_mask(rgb, "m")
        with pytest.raises(ImageError, match="^d: mode L; depth is"):
            images.decode_depth(mask, "d")
        with pytest.raises(ImageError, match="too many pixels"):
            images.decode_mask(mask, max_pixels=9)
        with pytest.raises(ImageError, match="not an image"):
            images.decode_depth(images.encode(scene(), "jpeg", 90))


class TestJpegsThatCostTooMuch:
    def test_scans(self):
        assert decode(progressive(images.MAX_SCANS)).shape == (48, 64, 3)
        with pytest.raises(ImageError, match="^it: a JPEG has at most 64 scans and 10000 segments, this one more$"):
            decode(progressive(images.MAX_SCANS + 1), "it")

    def test_segments(self):
        comment = b"\xff\xfe\x00\x02"
        assert decode(progressive(10, comment * 1000)).shape == (48, 64, 3)
        with pytest.raises(ImageError, match="this one more"):
            decode(progressive(10, comment * images.MAX_SEGMENTS))

    def test_what_lies_in_metadata_and_behind_the_image_is_no_scan(self):
        """A camera's own data, and a film behind the picture."""
        note = b"\xff\xda" * 5000
        hidden = b"\xff\xe1" + struct.pack(">H", len(note) + 2) + note
        assert decode(progressive(10, hidden) + note).shape == (48, 64, 3)

    def test_long_runs_of_fill_bytes_are_read_once(self):
        data = progressive(10)
        assert decode(data[:2] + b"\xff" * 2_000_000 + data[2:]).shape == (48, 64, 3)
