"""Options of the commands that label bags."""

from typing import Annotated

import typer

LabelledTopic = Annotated[str, typer.Option(help="Topic of the labelled clouds; TOPIC/labelled if left out.")]
Entropy = Annotated[
    bool, typer.Option("--entropy", help="Also a field `entropy`: 0 (certain) to 1 (any class as probable).")
]
OnlyLabelled = Annotated[bool, typer.Option("--only-labelled", help="Leave the other topics out.")]
Storage = Annotated[str, typer.Option(help="mcap or sqlite3.")]
Start = Annotated[float | None, typer.Option(min=0, help="Only from this second of the bag on.")]
End = Annotated[float | None, typer.Option(min=0, help="Only before this second of the bag.")]
Odometry = Annotated[str, typer.Option(help="Poses: topic with nav_msgs/Odometry.")]
FixedFrame = Annotated[str, typer.Option(help="Poses: frame of /tf that stands still, such as odom.")]
History = Annotated[
    int | None, typer.Option(help="Past clouds put behind each by poses; as the weights want if left out.")
]
HistoryStride = Annotated[int | None, typer.Option(help="Every n-th of the clouds before is taken.")]
MaxSpeed = Annotated[float, typer.Option(help="m/s; faster poses have jumped.")]
MaxTurnRate = Annotated[float, typer.Option(help="Degrees a second; the same of turns.")]
Salvage = Annotated[bool, typer.Option("--salvage", help="Label what is whole of a damaged or cut bag.")]
