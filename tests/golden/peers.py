#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares ql's advantages and losses with the functions of verl and TRL on random batches, in double precision.

  peers.py BATCHES.jsonl --verl DIR --trl DIR     (DIR: an unpacked wheel; needs torch and numpy)

Everything of those packages that is not arithmetic (ray, omegaconf, transformers, ...) is replaced by stand-ins."""
import argparse
import ast
import collections
import importlib.abc
import importlib.machinery
import json
import math
import sys
import types
from unittest import mock

import numpy as np
import torch

torch.set_default_dtype(torch.float64)


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules for whatever verl imports and this comparison does not need."""

    NAMES = ("omegaconf", "ray", "tensordict", "transformers", "hydra", "codetiming", "peft", "accelerate", "flash_attn",
             "verl.trainer.config", "verl.workers", "verl.utils.device", "verl.utils.groupwise", "verl.protocol",
             "verl.single_controller", "verl.utils.logging_utils", "packaging.version", "verl.utils.fs",
             "verl.utils.tokenizer", "verl.utils.config", "verl.utils.import_utils")

    def find_spec(self, name, path=None, target=None):
        if any(name == n or name.startswith(n + ".") for n in self.NAMES):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        module = mock.MagicMock(name=spec.name)
        module.__path__, module.__spec__, module.__name__ = [], spec, spec.name
        return module

    def exec_module(self, module):
        pass


def functions_of(path, wanted, scope):
    """Compiles the named functions of a file on their own, without their decorators and annotations."""
    tree = ast.parse(open(path).read())
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name in wanted and node.name not in scope:
            node.decorator_list, node.returns = [], None
            for a in node.args.args + node.args.kwonlyargs:
                a.annotation = None
            for inner in ast.walk(node):
                if isinstance(inner, ast.AnnAssign):
                    inner.annotation = ast.Constant(value=None)
            exec(compile(ast.fix_missing_locations(ast.Module([node], [])), path, "exec"), scope)
    return types.SimpleNamespace(**scope)


def load_verl(folder):
    F = functions_of(f"{folder}/verl/utils/torch_functional.py",
                     {"masked_sum", "masked_mean", "masked_var", "masked_whiten", "clip_by_value"},
                     {"torch": torch, "__name__": "verl_F"})
    scope = {"torch": torch, "np": np, "verl_F": F, "defaultdict": collections.defaultdict, "AlgoConfig": int,
             "ActorConfig": types.SimpleNamespace, "__name__": "core"}
    wanted = {"agg_loss", "kl_penalty_forward", "kl_penalty"}
    wanted |= {f"compute_policy_loss_{n}" for n in
               "vanilla dppo_tv dppo_kl gspo sapo gpg geo_mean cispo dro".split()}
    wanted |= {f"compute_{n}_outcome_advantage" for n in
               "grpo grpo_passk reinforce_plus_plus reinforce_plus_plus_baseline rloo opo remax gpg".split()}
    wanted |= {"compute_gae_advantage_return", "compute_optimal_token_baseline_advantage", "compute_value_loss",
               "compute_weights"}  # the last one is PF-PPO's
    core = functions_of(f"{folder}/verl/trainer/ppo/core_algos.py", wanted, scope)
    modes = {f"{level}_k{k}" for level in ("token", "seq_sum", "seq_mean", "seq_max") for k in (1, 2, 3)}
    scope = {"torch": torch, "math": math, "verl_F": F, "SAFETY_BOUND": 20.0, "SUPPORTED_ROLLOUT_RS_OPTIONS": modes,
             "TOKEN_LEVEL_ROLLOUT_RS_OPTIONS": {"token_k1", "token_k2", "token_k3"}, "Optional": dict, "__name__": "corr",
             "compute_is_metrics": lambda **k: {}, "compute_rs_metrics": lambda **k: {}}
    core.correction = functions_of(f"{folder}/verl/trainer/ppo/rollout_corr_helper.py",
                                   {"_parse_rollout_is_threshold", "_parse_rollout_rs_thresholds",
                                    "compute_rollout_correction_weights", "compute_rollout_rejection_mask"}, scope)
    return core


class Trl:
    """GRPOTrainer._compute_loss on a stand-in for the trainer."""

    def __init__(self, folder):
        path = f"{folder}/trl/trainer/grpo_trainer.py"
        scope = {"torch": torch, "math": math, "__name__": "trl", "nanmin": lambda t: t.min(), "nanmax": lambda t: t.max()}
        self.f = functions_of(path, {"_compute_loss", "get_off_policy_mask", "get_gamma_weights"}, scope)

    def loss(self, x, advantages, **o):
        lp = x.logp.clone().requires_grad_()
        args = types.SimpleNamespace(delta=o.get("delta"), use_bias_correction_kl=o.get("bias", False),
                                     sapo_temperature_pos=1.0, sapo_temperature_neg=1.05, steps_per_generation=1,
                                     vespo_k_pos=2.0, vespo_lambda_pos=3.0, vespo_k_neg=3.0, vespo_lambda_neg=2.0)
        me = mock.MagicMock()
        me.args = args
        me._get_per_token_logps_and_entropies = lambda *a, **k: (lp, torch.zeros_like(lp), None)
        me.top_entropy_quantile, me.off_policy_mask_threshold = 1.0, o.get("opsm")
        me.importance_sampling_level, me.beta = o.get("level", "token"), o.get("beta", 0.0)
        me.loss_type, me.epsilon_low, me.epsilon_high = o["type"], o.get("low", 0.2), o.get("high", 0.2)
        me.use_vllm, me._entropy_bonus_enabled, me.aux_loss_enabled = False, False, False
        me.max_completion_length, me.current_gradient_accumulation_steps = 10, 1
        me.accelerator.num_processes = 1
        me.accelerator.gather = lambda t: torch.as_tensor(t, dtype=torch.float64).reshape(-1)
        me.model.training = True
        me.get_off_policy_mask = torch.no_grad()(self.f.get_off_policy_mask)
        me.get_gamma_weights = torch.no_grad()(self.f.get_gamma_weights)
        ids = torch.zeros(x.mask.shape, dtype=torch.long)
        inputs = {"prompt_ids": ids, "prompt_mask": ids, "completion_ids": ids, "completion_mask": x.mask,
                  "advantages": advantages, "old_per_token_logps": x.old, "ref_per_token_logps": x.ref,
                  "sampling_per_token_logps": x.rollout, "num_items_in_batch": x.mask.sum()}
        value = self.f._compute_loss(me, None, inputs)
        value.backward()
        return value.item(), lp.grad


class Batch:
    def __init__(self, row):
        self.row, self.offsets = row, [int(o) for o in row["offsets"]]
        self.n = len(self.offsets) - 1
        self.width = max(b - a for a, b in zip(self.offsets, self.offsets[1:]))
        self.mask = torch.zeros(self.n, self.width)
        for i in range(self.n):
            self.mask[i, : self.offsets[i + 1] - self.offsets[i]] = 1
        for key in ("logp", "old", "ref", "rollout", "values"):
            setattr(self, key, self.padded(row[key]))
        self.reward = torch.tensor(row["reward"], dtype=torch.float64)
        self.tokens = torch.zeros(self.n, self.width)
        for i in range(self.n):
            self.tokens[i, self.offsets[i + 1] - self.offsets[i] - 1] = self.reward[i]
        group = np.zeros(self.n, dtype=int)
        for g, (a, b) in enumerate(zip(row["prompts"], row["prompts"][1:])):
            group[int(a):int(b)] = g
        self.group = group

    def padded(self, flat):
        out = torch.zeros(self.n, self.width)
        for i in range(self.n):
            part = flat[self.offsets[i]:self.offsets[i + 1]]
            out[i, : len(part)] = torch.tensor(part)
        return out

    def flat(self, padded):
        return torch.cat([padded[i, : self.offsets[i + 1] - self.offsets[i]] for i in range(self.n)])


class Config(types.SimpleNamespace):
    def get(self, key, default=None):
        return getattr(self, key, default)


def main():
    p = argparse.ArgumentParser()
    p.add_argument("batches")
    p.add_argument("--verl", required=True)
    p.add_argument("--trl", required=True)
    a = p.parse_args()
    sys.meta_path.insert(0, StandIns())
    V, T = load_verl(a.verl), Trl(a.trl)
    worst = collections.defaultdict(lambda: [0, 0.0, 0.0])

    def compare(name, ours, theirs, part):
        theirs = torch.as_tensor(theirs, dtype=torch.float64).reshape(-1)
        ours = torch.tensor(ours, dtype=torch.float64)
        gap = ((ours - theirs).abs() / theirs.abs().clamp(min=1.0)).max().item()
        worst[name][0] += part != 2
        worst[name][1 if part < 2 else 2] = max(worst[name][1 if part < 2 else 2], gap)

    for line in open(a.batches):
        row = json.loads(line)
        x = Batch(row)
        base = dict(token_level_rewards=x.tokens, response_mask=x.mask)
        per = dict(base, index=x.group)

        def advantage(name, out, tokens=False):
            adv = out[0] if isinstance(out, tuple) else out
            compare(name, row[name], x.flat(adv * x.mask) if tokens else (adv * x.mask)[:, 0], 1)

        advantage("verl.grpo", V.compute_grpo_outcome_advantage(**per))
        advantage("verl.dr_grpo", V.compute_grpo_outcome_advantage(**per, norm_adv_by_std_in_grpo=False))
        advantage("verl.rloo", V.compute_rloo_outcome_advantage(**per))
        advantage("verl.opo", V.compute_opo_outcome_advantage(**per))
        advantage("verl.passk", V.compute_grpo_passk_outcome_advantage(
            **per, config=Config(norm_adv_by_std_in_grpo=True)))
        if (x.reward != 0).any():
            advantage("verl.gpg", V.compute_gpg_outcome_advantage(**per, config=Config()))
        greedy = torch.tensor(row["greedy"], dtype=torch.float64)[torch.tensor(x.group)]
        advantage("verl.remax", V.compute_remax_outcome_advantage(x.tokens, greedy, x.mask))
        # verl's mean divides by N + 1e-8, which shows (2e-5) where all rewards are equal and only the epsilon is left
        varied = x.reward.max() > x.reward.min()
        varied and advantage("verl.reinforce_pp", V.compute_reinforce_plus_plus_outcome_advantage(
            **base, config=Config(gamma=1.0)), True)
        advantage("verl.reinforce_pp_baseline", V.compute_reinforce_plus_plus_baseline_outcome_advantage(**per), True)
        adv, ret = V.compute_gae_advantage_return(x.tokens, x.values, x.mask, 0.99, 0.95)
        advantage("verl.gae", adv, True)
        advantage("verl.returns", ret, True)
        squares = torch.exp(x.old) ** 2
        advantage("verl.token_baseline", V.compute_optimal_token_baseline_advantage(
            x.tokens, x.mask, x.group, x.old, squares), True)
        compare("verl.value_loss", row["verl.value_loss"],
                [V.compute_value_loss(x.values + 0.3, ret, x.values, x.mask, 0.2)[0].item()], 0)
        for rule, how in (("pow", "pow"), ("extremes", "max_min"), ("best", "max_random")):
            compare(f"verl.pf_ppo_{rule}", row[f"verl.pf_ppo_{rule}"],
                    torch.clamp(V.compute_weights(x.reward, how, 2.0) + 1e-8, min=1e-8), 1)
        q = (x.old - x.rollout) * x.mask
        for name, level, bound, mean in (("tis_weights", "token", 1.1, False), ("icepop", "token", "0.9_1.2", False),
                                         ("sequence_tis", "sequence", 1.1, False), ("tis_normalised", "token", 1.1, True),
                                         ("sequence_tis_normalised", "sequence", 1.1, True)):
            w, _ = V.correction.compute_rollout_correction_weights(q, x.mask, level, bound, mean)
            compare(f"verl.{name}", row[f"verl.{name}"], x.flat(w), 1)
        for mode in ("token_k2", "token_k3", "seq_sum_k2", "seq_sum_k3", "seq_mean_k2", "seq_mean_k3", "seq_max_k2",
                     "seq_max_k3"):
            kept, _ = V.correction.compute_rollout_rejection_mask(q, x.mask, mode, 0.02 if "sum" in mode else 0.01)
            compare(f"verl.reject_{mode}", row[f"verl.reject_{mode}"], x.flat(kept), 1)
        # TRL has no function for its advantages: its lines (grpo_trainer.py, scale_rewards) on groups
        for mode in ("group", "batch"):
            out = torch.zeros(x.n)
            for g in range(x.group.max() + 1):
                pick = torch.tensor(x.group == g)
                r = x.reward[pick]
                out[pick] = (r - r.mean()) / ((r.std() if mode == "group" else x.reward.std()) + 1e-4)
            compare(f"trl.{mode}", row[f"trl.{mode}"], out, 1)

        A = torch.tensor(row["advantage"], dtype=torch.float64)
        wide = A[:, None].expand(x.n, x.width)

        def loss(name, value, grad):
            compare(name, row[name + ".value"], [value], 0)
            compare(name, row[name + ".grad"], x.flat(grad), 2)

        def verl_loss(name, kind, mode="token-mean", weights=None, **c):
            config = Config(clip_ratio=0.2, clip_ratio_low=c.pop("low", 0.2), clip_ratio_high=c.pop("high", 0.2),
                            global_batch_info=c.pop("info", {}), policy_loss=Config(dro_beta=0.1), tau_pos=1.0,
                            tau_neg=1.05, **c)
            lp = x.logp.clone().requires_grad_()
            value, _ = getattr(V, f"compute_policy_loss_{kind}")(
                old_log_prob=x.old, log_prob=lp, advantages=wide, response_mask=x.mask, loss_agg_mode=mode,
                config=config, rollout_is_weights=weights)
            value.backward()
            loss(name, value.item(), lp.grad)

        verl_loss("verl.vanilla", "vanilla")
        verl_loss("verl.vanilla_smtm", "vanilla", "seq-mean-token-mean")
        verl_loss("verl.vanilla_smts", "vanilla", "seq-mean-token-sum")
        verl_loss("verl.vanilla_smtsn", "vanilla", "seq-mean-token-sum-norm", info={"loss_scale_factor": 10})
        verl_loss("verl.dual", "vanilla", high=0.28, clip_ratio_c=1.2)
        verl_loss("verl.gspo", "gspo", "seq-mean-token-mean")
        verl_loss("verl.sapo", "sapo", "seq-mean-token-mean")
        verl_loss("verl.gpg_loss", "gpg")
        verl_loss("verl.geo_mean", "geo_mean")
        verl_loss("verl.cispo", "cispo")
        verl_loss("verl.dro", "dro")
        verl_loss("verl.dppo_tv", "dppo_tv")
        verl_loss("verl.dppo_kl", "dppo_kl", low=0.02, high=0.02)
        verl_loss("verl.tis", "vanilla", weights=torch.exp((x.old - x.rollout).clamp(-20, 20)).clamp(max=1.1))
        for kind in ("k1", "k2", "k3", "k3+", "abs"):
            lp = x.logp.clone().requires_grad_()
            value = V.agg_loss(V.kl_penalty(lp, x.ref, kind), x.mask, "token-mean")
            value.backward()
            if kind == "k1":  # as a loss only in score-function form: compare the value
                compare("verl.k1", row["verl.k1.value"], [value.item()], 0)
            else:
                loss(f"verl.{kind}", value.item(), lp.grad)

        loss("trl.dapo", *T.loss(x, A, type="dapo", high=0.28))
        loss("trl.dapo_kl", *T.loss(x, A, type="dapo", beta=0.04))
        loss("trl.dapo_kl_is", *T.loss(x, A, type="dapo", beta=0.04, bias=True))
        loss("trl.grpo", *T.loss(x, A, type="grpo"))
        loss("trl.delta", *T.loss(x, A, type="grpo", delta=1.25))
        loss("trl.gspo", *T.loss(x, A, type="grpo", level="sequence", low=3e-4, high=4e-4))
        loss("trl.dr_grpo", *T.loss(x, A, type="dr_grpo"))
        loss("trl.cispo", *T.loss(x, A, type="cispo", high=1.28))
        loss("trl.sapo", *T.loss(x, A, type="sapo"))
        loss("trl.vespo", *T.loss(x, A, type="vespo"))
        loss("trl.opsm", *T.loss(x, A, type="dapo", opsm=0.1))

    print("| function | batches | worst gap of values | worst gap of gradients |\n|---|---|---|---|")
    failed = 0
    for name, (count, value, grad) in sorted(worst.items()):
        print(f"| {name} | {count} | {value:.1e} | {grad:.1e} |")
        failed += value > 1e-6 or grad > 1e-6
    print(f"\n{len(worst) - failed} of {len(worst)} agree to 1e-6", file=sys.stderr)
    return failed


if __name__ == "__main__":
    sys.exit(main())
