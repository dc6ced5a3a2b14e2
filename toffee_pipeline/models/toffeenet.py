"""ToffeeNet (paper section 3.4): new images of a subject, and edits with it, without any tuning per subject."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from toffee_pipeline.config.base import SamplingConfig
from toffee_pipeline.errors import SampleError
from toffee_pipeline.images import black_out
from toffee_pipeline.models.autoencoder import Autoencoder
from toffee_pipeline.models.blended import composite_all, latent_mask
from toffee_pipeline.models.networks.toffeenet import CONSTANT_DEPTH, ToffeeNetNetwork
from toffee_pipeline.models.sampling import Predict, denoise, generators, initial_noise, make_scheduler
from toffee_pipeline.models.tensors import to_images


@torch.no_grad()  # not inference_mode: training goes on from these
def encode_prompts(
    text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, prompts: Sequence[str], device: torch.device
) -> Tensor:
    """float32 (b, n, d): the text encoder's last states, every prompt cut or padded to the tokenizer's n ids.

    The empty prompt is the null condition.
    """
    ids = tokenizer(
        list(prompts),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
    return text_encoder(ids.to(device)).last_hidden_state.float()


class ToffeeNet:
    """Samples the network, which the caller has put into eval mode, at the size that its UNet's config tells.

    Args:
        text_encoder, tokenizer: the base's.
        sampling: its guidance is of text and DINO tokens together: the null branch has neither.
        dino_scale: lambda, the weight of the DINO tokens' cross-attention; 1 as in training, 0 without the subject.
        dino_guidance_scale: guides text and tokens apart (`_guided`): this is then the tokens' scale, and that of
            `sampling` the text's. None: together.
    """

    def __init__(
        self,
        network: ToffeeNetNetwork,
        autoencoder: Autoencoder,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        sampling: SamplingConfig,
        device: torch.device,
        *,
        dino_scale: float = 1.0,
        dino_guidance_scale: float | None = None,
    ) -> None:
        self.network = network.to(device)
        self.autoencoder = autoencoder
        self.autoencoder.vae.to(device)
        self.text_encoder, self.tokenizer = text_encoder.to(device), tokenizer
        self.sampling, self.device = sampling, device
        self.dino_scale, self.dino_guidance_scale = dino_scale, dino_guidance_scale
        self.side = network.unet.config.sample_size
        self.size_px = self.side * autoencoder.scale_factor

    @torch.inference_mode()
    def generate(
        self,
        tokens: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        depths: Sequence[np.ndarray] | None = None,
    ) -> list[np.ndarray | SampleError]:
        """New images of the subjects.

        Args:
            tokens: (b, 1 + n, dino_dim) of the subjects' images; of one in several images, their mean.
            prompts, seeds: one per image.
            depths: float32 (size_px, size_px) in 0..1 each, 1 = nearest, whose structure is kept; None: a new view.

        Returns:
            uint8 (size_px, size_px, 3) each, or a SampleError in its place.

        Raises ValueError where a depth map has another size.
        """
        black = self.autoencoder.encode([np.zeros((self.size_px, self.size_px, 3), np.uint8)])
        mask = torch.ones(1, 1, self.side, self.side, device=self.device)
        count = len(prompts)
        latents = self._sample(
            tokens, prompts, seeds, mask.expand(count, -1, -1, -1), black.expand(count, -1, -1, -1), depths
        )
        return to_images(self.autoencoder.decode(latents))

    @torch.inference_mode()
    def edit(
        self,
        tokens: Tensor,
        images: Sequence[np.ndarray],
        masks: Sequence[np.ndarray],
        prompts: Sequence[str],
        seeds: Sequence[int],
        depths: Sequence[np.ndarray] | None = None,
    ) -> list[np.ndarray | SampleError]:
        """Repaint regions of images.

        Args:
            tokens: (b, 1 + n, dino_dim) of the subjects' images: of `images`, or of others.
            images: uint8 (H, W, 3) each, of one size.
            masks: bool (H, W) each, what is repainted.
            prompts, seeds: one per image.
            depths: float32 (H, W) in 0..1 each, 1 = nearest; None: a new view.

        Returns:
            uint8 (H, W, 3) each, exactly the image outside the mask; or a SampleError in its place.

        Raises ValueError where a depth map has another size.
        """
        kept = self.autoencoder.encode([black_out(image, mask) for image, mask in zip(images, masks, strict=True)])
        region = latent_mask(masks, self.autoencoder.scale_factor, self.device)
        painted = to_images(self.autoencoder.decode(self._sample(tokens, prompts, seeds, region, kept, depths)))
        return composite_all(painted, images, masks)

    def _sample(
        self,
        tokens: Tensor,
        prompts: Sequence[str],
        seeds: Sequence[int],
        mask: Tensor,
        masked_latents: Tensor,
        depths: Sequence[np.ndarray] | None,
    ) -> Tensor:
        height, width = (side * self.autoencoder.scale_factor for side in mask.shape[-2:])
        if depths is None:
            depth = torch.full((len(prompts), 1, height, width), CONSTANT_DEPTH, device=self.device)
        else:
            depth = torch.from_numpy(np.stack(depths)).to(self.device)[:, None]
            if depth.shape[-2:] != (height, width):
                raise ValueError(f"depth maps of {tuple(depth.shape[-2:])} for images of {(height, width)}")
        sources = generators(seeds)
        with self.network.scaled(self.dino_scale):
            return denoise(
                self._guided(self._encode(prompts), tokens.to(self.device), (mask, masked_latents, depth)),
                make_scheduler(self.sampling, self.network.scheduler.config),
                initial_noise(masked_latents.shape[1:], sources, self.device),
                self.sampling.num_inference_steps,
                sources=sources,
            )

    def _guided(self, text: Tensor, tokens: Tensor, conditions: Sequence[Tensor]) -> Predict:
        """The network under classifier-free guidance.

        Together: null + w * (both - null). Apart, as InstructPix2Pix guides by image and text (Brooks et al. 2023,
        Eq 3): null + w_dino * (tokens - null) + w * (both - tokens), which is the same where the two scales are.
        """
        null_text, null_tokens = self._encode([""]).expand_as(text), torch.zeros_like(tokens)
        scale, dino_scale = self.sampling.guidance_scale, self.dino_guidance_scale
        if dino_scale is not None:
            branches, scales = [(null_text, null_tokens), (null_text, tokens), (text, tokens)], [dino_scale, scale]
        elif scale > 1:
            branches, scales = [(null_text, null_tokens), (text, tokens)], [scale]
        else:
            branches, scales = [(text, tokens)], []
        count = len(branches)
        texts, all_tokens = (torch.cat(parts) for parts in zip(*branches, strict=True))
        repeated = [condition.repeat(count, 1, 1, 1) for condition in conditions]

        def predict(latents: Tensor, timestep: Tensor) -> Tensor:
            predicted = self.network(latents.repeat(count, 1, 1, 1), timestep, texts, all_tokens, *repeated)
            first, *rest = predicted.float().chunk(count)
            total, before = first, first
            for weight, after in zip(scales, rest, strict=True):
                total, before = total + weight * (after - before), after
            return total

        return predict

    def _encode(self, prompts: Sequence[str]) -> Tensor:
        return encode_prompts(self.text_encoder, self.tokenizer, prompts, self.device)
