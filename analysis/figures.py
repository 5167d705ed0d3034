"""Every picture as a function of a result; the names a notebook uses after ``an.figures``."""

from analysis.attention_sinks.cell_figures import attention_cell_map, head_cell_map
from analysis.attention_sinks.curve_figures import entropy_against_position, triad_chart
from analysis.attention_sinks.experiment_figures import streaming_figure, surprisal_change_figure
from analysis.attention_sinks.figures import head_difference, head_map, received
from analysis.attention_sinks.map_figures import head_map_figure
from analysis.attention_sinks.state_figures import attention_scatter, massive_chart, state_sizes
from analysis.comparison.figures import change_quadrants, compared_along
from analysis.comparison.rollout_figures import rollout_entropy, rollout_ratios, rollout_sequences
from analysis.comparison.rules.figures import curve_chart as comparison_curve
from analysis.comparison.rules.figures import laid_chart as comparison_rule
from analysis.comparison.rules.figures import quadrant_chart as student_quadrants
from analysis.comparison.strip_html import compared_strips
from analysis.comparison.structure_figures import head_changes, layer_changes
from analysis.drawing.notebook import show_charts_as_pictures
from analysis.drawing.paper import save
from analysis.entropy_collapse.labs.backcopy.figures import first_token_figure, forming_figure, risks_figure
from analysis.entropy_collapse.labs.four_squares.exchange_figures import (
    change_scatters,
    entropy_path,
    reward_against_entropy,
)
from analysis.entropy_collapse.labs.four_squares.figures import lab_curves
from analysis.entropy_collapse.layers.checkpoint_figures import model_curves, rank_panels
from analysis.entropy_collapse.layers.figures import layer_drops, matrix_entropy, spectrum
from analysis.entropy_collapse.training.figures import training_chart
from analysis.entropy_collapse.training.law_figures import law_chart, points_chart, spent_chart
from analysis.pruning_effects.compression.figures import compression_curves, compression_strip
from analysis.pruning_effects.eviction.attention_mass import heavy_tokens
from analysis.pruning_effects.eviction.cost_figures import (
    bill_chart,
    horizon_chart,
    needle_chart,
    stability_chart,
)
from analysis.pruning_effects.eviction.figures import damage_tokens, kept_tokens, pruning_curves
from analysis.pruning_effects.eviction.map_figures import kept_heatmap, phrase_heatmap
from analysis.pruning_effects.eviction.overlap_figures import kept_positions, overlap_matrix
from analysis.token_entropy.expected_figures import expected_tokens
from analysis.token_entropy.figures import along_text, entropy_histogram, surprisal_scatter, token_strip
from analysis.token_entropy.lens_cell_figures import lens_cell_map
from analysis.token_entropy.lens_figures import lens_curve, lens_heatmap
from analysis.token_entropy.lens_window_figures import lens_window
from analysis.visual_tokens.cell_figures import picture_cell_map
from analysis.visual_tokens.collapse_figures import visual_collapse_curves
from analysis.visual_tokens.fragility_figures import fragility_chart
from analysis.visual_tokens.horizon_figures import horizon_by_kind, horizon_on_picture, visual_horizon
from analysis.visual_tokens.layer_figures import patch_quantity, visual_layers
from analysis.visual_tokens.looking_figures import attention_on_picture, attention_shares, picture_heads
from analysis.visual_tokens.pair_figures import attention_difference, attention_of_pair, pair_shares
from analysis.visual_tokens.split_figures import split_curves
from analysis.visual_tokens.sweep_figures import kept_on_picture, visual_curves
from analysis.writing.answer_figures import difficulty_chart, steering_chart
from analysis.writing.figures import written_entropy
from analysis.writing.rules.figures import rule_chart
from analysis.writing.tree_figures import branches

show_charts_as_pictures()

__all__ = [
    "along_text",
    "attention_cell_map",
    "attention_difference",
    "attention_of_pair",
    "attention_on_picture",
    "attention_scatter",
    "attention_shares",
    "bill_chart",
    "branches",
    "change_quadrants",
    "change_scatters",
    "compared_along",
    "compared_strips",
    "comparison_curve",
    "comparison_rule",
    "compression_curves",
    "compression_strip",
    "damage_tokens",
    "difficulty_chart",
    "entropy_against_position",
    "entropy_histogram",
    "entropy_path",
    "expected_tokens",
    "first_token_figure",
    "forming_figure",
    "fragility_chart",
    "head_cell_map",
    "head_changes",
    "head_difference",
    "head_map",
    "head_map_figure",
    "heavy_tokens",
    "horizon_by_kind",
    "horizon_chart",
    "horizon_on_picture",
    "kept_heatmap",
    "kept_on_picture",
    "kept_positions",
    "kept_tokens",
    "lab_curves",
    "law_chart",
    "layer_changes",
    "layer_drops",
    "lens_cell_map",
    "lens_curve",
    "lens_heatmap",
    "lens_window",
    "massive_chart",
    "matrix_entropy",
    "model_curves",
    "needle_chart",
    "overlap_matrix",
    "pair_shares",
    "patch_quantity",
    "phrase_heatmap",
    "picture_cell_map",
    "picture_heads",
    "points_chart",
    "pruning_curves",
    "rank_panels",
    "received",
    "reward_against_entropy",
    "risks_figure",
    "rollout_entropy",
    "rollout_ratios",
    "rollout_sequences",
    "rule_chart",
    "save",
    "spectrum",
    "spent_chart",
    "split_curves",
    "stability_chart",
    "state_sizes",
    "steering_chart",
    "streaming_figure",
    "student_quadrants",
    "surprisal_change_figure",
    "surprisal_scatter",
    "token_strip",
    "training_chart",
    "triad_chart",
    "visual_collapse_curves",
    "visual_curves",
    "visual_horizon",
    "visual_layers",
    "written_entropy",
]
