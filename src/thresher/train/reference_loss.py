"""A contrastive loss steered by a reference model; no candidates are scored and discarded.

After DRRho-CLIP (arXiv 2505.06699), with the estimator of SogCLR (arXiv 2202.12387).
Shapes: B pairs of this process, G of all processes, n pairs of the data set, D dimensions.

With cosines `s` of the learner and `r` of the reference, the shifted margin of caption j for image i is

    h_ij = (s_ij - s_ii) - (r_ij - r_ii),

and the objective, for images and in the same way for captions, is

    F = 1/n Σ_i τ log(ε + g_i),    g_i = 1/(n-1) Σ_{j≠i} exp(h_ij / τ).

A caption that the reference confuses with the right one counts less, and a pair stops pulling once the
learner's margins are ahead of the reference's by τ log(1/ε). The mean g_i goes over the whole data set, and
the logarithm of a mean over a small batch would be biased; so every pair keeps a moving average `u_i ← (1-γ)
u_i + γ g_i(batch)` of its own, and the gradient is that of `τ g_i(batch) / (ε + u_i)`, the averages held
still.
"""

import math

import torch
from open_clip.loss import gather_features
from torch import distributed

from thresher.errors import InputError
from thresher.tables import decimal
from thresher.train.distributed import SINGLE, Ranks


class ReferenceLoss(torch.nn.Module):
    """The loss of a batch, and the moving averages of all pairs, which `state_dict` holds.

    Everything is kept as a logarithm in fp32: `exp` of a margin over a temperature of .01 overflows. The
    temperature is that of the model, `1 / logit_scale`, and is not learned, as in the paper: set it with
    `start_scale`.
    """

    log_image_n: torch.Tensor
    log_text_n: torch.Tensor

    def __init__(
        self, num_pairs: int, *, gamma: float = 0.8, epsilon: float = 1e-4, ranks: Ranks = SINGLE
    ) -> None:
        """Averages of `num_pairs` pairs that have not been seen.

        Args:
            num_pairs: places of the data set; two fp32 numbers each.
            gamma: weight of the batch in the averages, in (0, 1]; 1 forgets all earlier batches.
            epsilon: what is added to the averages, at least 0.
            ranks: this process among those that share a batch, each the same number of pairs.

        Raises:
            InputError: gamma or epsilon is out of its range.
        """
        super().__init__()
        if not 0 < gamma <= 1:
            raise InputError(f"gamma is {decimal(gamma)}; the weight of a batch lies above 0 and up to 1")
        if not epsilon >= 0:
            raise InputError(f"epsilon is {decimal(epsilon)}; it is 0 or more")
        self.gamma, self.epsilon, self.ranks = gamma, epsilon, ranks
        for name in ("log_image_n", "log_text_n"):
            self.register_buffer(name, torch.full((num_pairs,), -math.inf))

    def forward(
        self,
        image_features: torch.Tensor,
        text_features: torch.Tensor,
        logit_scale: torch.Tensor,
        reference_image: torch.Tensor,
        reference_text: torch.Tensor,
        places_B: torch.Tensor,
    ) -> torch.Tensor:
        """Mean of τ log(ε + u) over both directions and the pairs of this process; in training, u is updated.

        Its gradient is that of the estimator above, so finite differences of the value differ from it while
        `gamma < 1`. The mean over processes is the loss of the whole batch.

        Args:
            image_features: the learner's, unit length, [B, D].
            text_features: likewise.
            logit_scale: the learner's scale 1/τ; it gets a gradient of zero.
            reference_image: the reference's, unit length, [B, any]; without gradient.
            reference_text: likewise.
            places_B: int64, where in the data set each pair is, none twice.
        """
        tau = 1 / logit_scale.detach().float()
        with torch.autocast(image_features.device.type, enabled=False):
            learner = self._margins(image_features.float(), text_features.float())
            with torch.no_grad():
                reference = self._margins(reference_image.float(), reference_text.float())
            sides = zip((self.log_image_n, self.log_text_n), learner, reference, strict=True)
            total = sum(
                self._side(log_u_n, (own_BG - ref_BG) / tau, places_B) for log_u_n, own_BG, ref_BG in sides
            )
        return total * tau / 2 + 0 * logit_scale.sum()

    def _margins(self, image_BD: torch.Tensor, text_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """`s_ij - s_ii` of own images with all captions and of own captions with all images, twice [B, G]."""
        image_GD, text_GD = image_BD, text_BD
        if self.ranks.world > 1:
            image_GD, text_GD = gather_features(
                image_BD,
                text_BD,
                local_loss=True,
                gather_with_grad=torch.is_grad_enabled(),
                rank=self.ranks.rank,
                world_size=self.ranks.world,
            )
        own_B1 = (image_BD * text_BD).sum(dim=1, keepdim=True)
        return image_BD @ text_GD.T - own_B1, text_BD @ image_GD.T - own_B1

    def _side(self, log_u_n: torch.Tensor, shifted_BG: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """Mean of log(ε + u) over images, or over captions, with the gradient of g / (ε + u)."""
        batch, everyone = shifted_BG.shape
        own_B1 = self.ranks.rank * batch + torch.arange(batch, device=shifted_BG.device)[:, None]
        others_BG = shifted_BG.scatter(1, own_B1, -math.inf)
        log_g_B = others_BG.logsumexp(dim=1) - math.log(max(1, everyone - 1))
        log_u_B = self._average(log_u_n, log_g_B.detach(), places_B)
        floor = math.log(self.epsilon) if self.epsilon else -math.inf
        log_floored_B = torch.logaddexp(log_u_B, log_u_B.new_tensor(floor))
        weighted_B = (log_g_B - log_floored_B).exp()  # at most 1 / gamma
        return (log_floored_B + weighted_B - weighted_B.detach()).mean()

    def _average(self, log_u_n: torch.Tensor, log_g_B: torch.Tensor, places_B: torch.Tensor) -> torch.Tensor:
        """Log u of this batch with the batch taken in; a pair's first batch is its average."""
        before_B = log_u_n[places_B]
        keep = math.log1p(-self.gamma) if self.gamma < 1 else -math.inf
        mixed_B = torch.logaddexp(before_B + keep, log_g_B + math.log(self.gamma))
        log_u_B = torch.where(before_B.isneginf(), log_g_B, mixed_B)
        if self.training:
            places, values = self._everywhere(places_B), self._everywhere(log_u_B)
            log_u_n[places] = values
        return log_u_B

    def _everywhere(self, values_B: torch.Tensor) -> torch.Tensor:
        """The values of all processes, so that all keep the same averages."""
        if self.ranks.world == 1:
            return values_B
        parts = [torch.empty_like(values_B) for _ in range(self.ranks.world)]
        distributed.all_gather(parts, values_B.contiguous())
        return torch.cat(parts)


def start_scale(model: torch.nn.Module, temperature: float) -> None:
    """Give the model the scale `1 / temperature`, which the reference-steered loss keeps.

    Raises:
        InputError: the temperature is not in [.01, 1], the range of the scale that training keeps to.
    """
    if not 0.01 <= temperature <= 1:
        raise InputError(f"temperature is {decimal(temperature)}; it lies from .01 to 1")
    with torch.no_grad():
        model.logit_scale.fill_(-math.log(temperature))  # type: ignore[operator]


def gamma_for(epochs: float) -> float:
    """The weight of a batch that DRRho-CLIP recommends for a run of so many epochs, at most 1.

    >>> round(gamma_for(30), 3), gamma_for(3)
    (0.353, 1.0)
    """
    return min(1.0, 4.177 * math.pow(max(epochs, 1.0), -0.7265))
