"""Settings of masked numbers.  A part of ``config``."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from controller.core.masking import Guards


class WrongKeys(BaseModel):
    """Wrong extensions and PINs that are borne within ``within_s`` of one caller, on one X, and of all callers of a tenant; who
    keys in one more is told so and not listened to, until the oldest of them is longer ago than that."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    per_caller: Annotated[int, Field(ge=1, le=1000)] = 6
    per_x: Annotated[int, Field(ge=1, le=10_000)] = 20
    per_tenant: Annotated[int, Field(ge=1, le=100_000)] = 300
    within_s: Annotated[int, Field(ge=1, le=604_800)] = 3600

    @property
    def guards(self) -> Guards:
        """As the engine has them."""
        return Guards(self.per_caller, self.per_x, self.per_tenant, self.within_s * 1000)


class Masking(BaseModel):
    """Masked numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    wrong_keys: WrongKeys = WrongKeys()
