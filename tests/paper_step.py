"""The training step of the paper's released code, in our own words: what `bench_learning.py` measures the kit against.

Nothing here is meant to be fast. Notes are tokenised at every step, every chunk is padded to full length, the padding
goes through BERT and into the mean, and the projection is applied to every position before it is averaged.
"""
import torch
from torch import nn
from transformers import BertModel, PreTrainedTokenizerFast

LENGTH, DIM, RATE = 512, 512, 1e-4  # tokens in a chunk; size of a report's vector; learning rate


def fast_tokenizer(
    tokenizer,  # tokenizers.Tokenizer with BERT's special tokens
) -> PreTrainedTokenizerFast:
    "The same vocabulary behind the interface that the released code calls; adds [CLS] and [SEP]."
    from tokenizers import Tokenizer, processors

    own = Tokenizer.from_str(tokenizer.to_str())
    ends = [(token, own.token_to_id(token)) for token in ('[SEP]', '[CLS]')]
    own.post_processor = processors.BertProcessing(*ends)
    return PreTrainedTokenizerFast(tokenizer_object=own, pad_token='[PAD]', unk_token='[UNK]', cls_token='[CLS]',
                                   sep_token='[SEP]', mask_token='[MASK]', model_max_length=LENGTH)


class PaperReports(nn.Module):
    "Notes as strings to vectors, as the released code computes them."

    def __init__(
        self,
        tokenizer,  # tokenizers.Tokenizer
        config,  # transformers.BertConfig
        frozen: bool,  # the released code's BERT: without gradient, but with its dropout on
    ):
        super().__init__()
        self.tokenizer, self.frozen = fast_tokenizer(tokenizer), frozen
        self.bert, self.project = BertModel(config), nn.Linear(config.hidden_size, DIM)
        self.bert.requires_grad_(not frozen)

    def chunks(self, notes: list[str]):
        "Token ids and mask (chunks, 512), and the number of the note of each chunk."
        cut = self.tokenizer(notes, max_length=LENGTH, stride=0, truncation=True, padding='max_length',
                             return_overflowing_tokens=True, return_tensors='pt')
        return cut['input_ids'], cut['attention_mask'], cut['overflow_to_sample_mapping'].tolist()

    def forward(self, notes: list[str]) -> torch.Tensor:
        "Vectors of the notes: (notes, 512)."
        ids, mask, owner = self.chunks(notes)
        device = self.project.weight.device
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            states = self.bert(ids.to(device), attention_mask=mask.to(device)).last_hidden_state  # (chunks, 512, width)
        means = []
        for note in range(len(notes)):  # a mean over a note's chunks, position by position
            mine = [states[k] for k, of in enumerate(owner) if of == note]
            means.append(torch.stack(mine).mean(0))
        return self.project(torch.stack(means)).mean(1)  # every position, padding included


class PaperClassifier(nn.Module):
    "Layer norm and one linear layer on a report's vector."

    def __init__(self, reports: PaperReports, labels: int):
        super().__init__()
        self.reports, self.head = reports, nn.Sequential(nn.LayerNorm(DIM), nn.Linear(DIM, labels))

    def forward(self, notes: list[str]) -> torch.Tensor:
        "Logits: (notes, labels)."
        return self.head(self.reports(notes))


def plain_adam(model: nn.Module) -> torch.optim.Optimizer:
    "Adam as one writes it, without choosing an implementation; the released code's beta2."
    return torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=RATE, betas=(0.9, 0.9))


def paper_step(
    model: PaperClassifier,
    optimizer: torch.optim.Optimizer,
    notes: list[str],
    labels: torch.Tensor,  # (notes, labels) 0/1
) -> float:
    "One update in train mode; returns the loss."
    model.train()
    optimizer.zero_grad()
    loss = nn.functional.binary_cross_entropy_with_logits(model(notes), labels)
    loss.backward()
    optimizer.step()
    return loss.item()
