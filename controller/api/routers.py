"""All routers, in the order in which the interface is described."""

from controller.api.routes import (
    agents,
    audit,
    bindings,
    callbacks,
    calls,
    cdrs,
    docs,
    flows,
    health,
    keys,
    last_agents,
    lists,
    live,
    media,
    memories,
    nodes,
    numbers,
    oauth,
    policy,
    pools,
    queues,
    recordings,
    tenants,
    trunks,
    webhooks,
)

ROUTERS = tuple(
    module.router
    for module in (
        callbacks, memories, calls, cdrs, recordings, media, webhooks, numbers, last_agents, pools, bindings, agents, queues,
        lists, policy, flows, nodes, trunks, tenants, keys, oauth, audit, live, health, docs,
    )
)  # fmt: skip
