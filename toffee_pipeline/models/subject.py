"""Subject images: synthesised (paper section 3.1), or your own."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import StableDiffusionXLPipeline

from toffee_pipeline.config.base import DistilledSpec, ModelSpec, VaeSpec
from toffee_pipeline.config.stages import SynthesizeConfig
from toffee_pipeline.errors import ImageError, SampleError
from toffee_pipeline.images import fit_square, read_file
from toffee_pipeline.models.sampling import generators, make_scheduler
from toffee_pipeline.models.sdxl import load_sdxl
from toffee_pipeline.models.speed import denoising, in_few_steps
from toffee_pipeline.models.tensors import to_images
from toffee_pipeline.pixels import is_flat
from toffee_pipeline.schema.subjects import Subject


class SDXLSubject:
    """Text to image by the stock SDXL pipeline."""

    def __init__(
        self,
        sdxl: ModelSpec,
        vae: VaeSpec | None,
        unet: DistilledSpec | None,
        settings: SynthesizeConfig,
        size_px: int,
        device: torch.device,
    ) -> None:
        self.sampling, self.speed, self.size_px = settings.sampling, settings.speed, size_px
        components, self.autoencoder = load_sdxl(sdxl, vae, unet, settings.speed, device)
        self.pipeline = StableDiffusionXLPipeline(**components, add_watermarker=False)
        self.pipeline.set_progress_bar_config(disable=True)
        self.scheduler_config = self.pipeline.scheduler.config

    @torch.inference_mode()
    def create(self, subjects: Sequence[Subject]) -> list[np.ndarray | SampleError]:
        """One image per subject from its prompt and seed: uint8 (size_px, size_px, 3), or a SampleError."""
        self.pipeline.scheduler = make_scheduler(self.sampling, self.scheduler_config)
        with denoising(self.pipeline.unet, self.speed):
            latents = self.pipeline(
                prompt=[subject.prompt for subject in subjects],
                height=self.size_px,
                width=self.size_px,
                num_inference_steps=self.sampling.num_inference_steps,
                guidance_scale=self.sampling.guidance_scale,
                generator=generators([subject.seed for subject in subjects]),
                output_type="latent",
            ).images
        return to_images(self.autoencoder.decode(latents))

    def warm_up(self, batch_size: int, size_px: int) -> None:
        """As `Compilable` has it."""
        other = copy.copy(self)
        other.sampling = in_few_steps(self.sampling)
        other.create([Subject("", "", "", seed=0)] * batch_size)


class FolderSubject:
    """Your own images, below the folder `path`; the central square of each."""

    def __init__(self, path: Path, size_px: int) -> None:
        self.folder, self.size_px = path, size_px

    def create(self, subjects: Sequence[Subject]) -> list[np.ndarray | SampleError]:
        """The image at each subject's `path`: uint8 (size_px, size_px, 3), or a SampleError if it cannot be read
        or shows nothing.

        Raises FileNotFoundError where the whole folder is gone: that is no fault of its images.
        """
        return [self._read(subject) for subject in subjects]

    def _read(self, subject: Subject) -> np.ndarray | SampleError:
        if subject.path is None:
            return SampleError(f"subject {subject.subject_id} has no path")
        try:
            image = fit_square(read_file(self.folder / subject.path), self.size_px)
        except ImageError as error:
            if not self.folder.is_dir():
                raise FileNotFoundError(f"subjects.path: {self.folder} is not a folder on this machine") from error
            return SampleError(str(error), reason="unreadable")
        if is_flat(image):
            return SampleError(f"{self.folder / subject.path}: one colour all over", reason="unreadable")
        return image
