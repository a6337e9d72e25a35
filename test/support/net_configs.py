"""The `net.config` of an SPVNAS with few channels."""

OUTPUT_CHANNELS = [32, 16, 32, 48, 64, 64, 48, 32, 16]


def net_config():
    config = {"num_classes": 19, "pres": 0.05, "vres": 0.05, "output_channels": OUTPUT_CHANNELS}
    for way in ("down", "up"):
        for number in range(4):
            place = f"{way}sample.{number}"
            config |= {f"{place}.transition": 16 * (number % 2 + 1), f"{place}.feature": 1 + number % 2}
            config |= {f"{place}.feature.layers.{index}.net.layers.0": 16 for index in range(2)}
    return config
