"""Texts written by a local causal language model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from gnnrec.devices import resolve_device
from gnnrec.errors import ConfigError, DataError, check_range
from gnnrec.text.models import ModelFolder
from gnnrec.text.settings import is_causal
from gnnrec.text.transformer import encodable, load_model, load_tokenizer, position_limit


class Generator:
    """A causal language model that answers prompts greedily.

    The same prompt gives the same text; in bfloat16 it may hang on the other prompts of the batch, by rounding.
    A model with a chat template is asked as a chat; any other simply continues the prompt. Prompts are cut on the left
    to what the model takes, less the answer; `num_cut` counts those. What the template puts around a prompt is never
    cut.
    """

    def __init__(
        self,
        model: ModelFolder,
        max_new_tokens: int = 64,
        max_prompt_tokens: int = 512,
        dtype: str = "float32",
        device: str = "auto",
    ) -> None:
        check_range("max_new_tokens", max_new_tokens, "generate", low=1)
        check_range("max_prompt_tokens", max_prompt_tokens, "generate", low=1)
        device = resolve_device(device)
        if not is_causal(model):
            raise ConfigError(
                f"text model '{model.name}' is made to encode, not to write: choose a causal language model"
            )
        self.tokenizer = load_tokenizer(model)
        self.model = load_model(model, getattr(torch, dtype), head="AutoModelForCausalLM").eval().to(device)
        if self.tokenizer.pad_token_id is None:
            if self.tokenizer.eos_token_id is None:
                raise DataError(f"the tokenizer of '{model.name}' has neither a padding nor an end token")
            self.tokenizer.pad_token = self.tokenizer.eos_token
        # What a causal model writes follows its last token: padding must stand before the prompt.
        self.tokenizer.padding_side = "left"
        room = position_limit(self.tokenizer, self.model) - max_new_tokens
        if room < 1:
            raise ConfigError(
                f"'max_new_tokens' must be below the {room + max_new_tokens} tokens that text model '{model.name}' "
                f"takes (got {max_new_tokens})"
            )
        self.max_new_tokens, self.max_prompt_tokens = max_new_tokens, min(max_prompt_tokens, room)
        self.device, self.name, self.num_cut = device, model.name, 0
        self.chat = bool(self.tokenizer.chat_template)
        around = self._length(self._asked(""))
        if around >= self.max_prompt_tokens:
            raise ConfigError(
                f"'max_prompt_tokens' must be above the {around} tokens that text model '{model.name}' puts around a "
                f"prompt (got {self.max_prompt_tokens}, at most {room} beside the answer)"
            )

    @torch.inference_mode()
    def answer(self, prompts: Sequence[str]) -> list[str]:
        """Return the model's answer to each prompt, stripped, its white space made single spaces."""
        tokens = self.tokenizer(
            [self._cut(prompt) for prompt in prompts],
            padding=True,
            add_special_tokens=not self.chat,
            return_token_type_ids=False,
            return_tensors="pt",
        ).to(self.device)
        written = self.model.generate(
            **tokens,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            num_beams=1,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        answers = written[:, tokens["input_ids"].shape[1] :]
        decoded: list[str] = self.tokenizer.batch_decode(answers, skip_special_tokens=True)
        return [" ".join(text.split()) for text in decoded]

    def _cut(self, prompt: str) -> str:
        """Return what the model is asked, with as much of the end of the prompt as fits."""
        asked = self._asked(prompt)
        self.num_cut += self._length(asked) > self.max_prompt_tokens
        while (length := self._length(asked)) > self.max_prompt_tokens:
            # Tokens have no fixed number of characters: as many go as this share of the tokens, until it fits.
            prompt = prompt[math.ceil(len(prompt) * (1 - self.max_prompt_tokens / length)) :]
            asked = self._asked(prompt)
        return asked

    def _asked(self, prompt: str) -> str:
        prompt = encodable(prompt)
        if not self.chat:
            return prompt
        messages: list[dict[str, Any]] = [{"role": "user", "content": prompt}]
        try:
            return self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except Exception as error:  # the template is a program of others, and may raise what it likes
            told = " ".join(str(error).split())[:300]
            raise DataError(f"the chat template of '{self.name}' fails: {told}") from error

    def _length(self, asked: str) -> int:
        return len(self.tokenizer(asked, add_special_tokens=not self.chat, verbose=False)["input_ids"])
