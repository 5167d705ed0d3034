"""Visual tokens: what a vision-language model keeps of a picture, layer by layer, and which parts could have gone."""
