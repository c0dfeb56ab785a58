"""The documents of the Management API as TypedDicts (reference, "Management API v1", the schemas).

Generated from docs/management-api.openapi.json by ``python -m scripts.api_types``; do not edit.
Fields that the schema does not require are NotRequired. Date-times are ISO 8601 strings.
"""

from typing import Any, NotRequired, TypedDict


class ACLItem(TypedDict):
    """Schema ``ACLItem``."""

    grantee: str
    permission: str


class SubscriptionItem(TypedDict):
    """Schema ``SubscriptionItem``."""

    item_price_id: NotRequired[str]
    price_id: NotRequired[str]
    is_metered: NotRequired[bool]
    plan_id: str
    unit_of_measure: NotRequired[str]
    status: NotRequired[str]
    subscription_item_id: NotRequired[str]


class AddSubscriptionDTO(TypedDict):
    """Schema ``AddSubscriptionDTO``."""

    trial_start: NotRequired[str]
    company_id: str
    start_date: NotRequired[str]
    collection_method: NotRequired[str]
    provider: NotRequired[str]
    items: NotRequired[list[SubscriptionItem]]
    current_period_start: NotRequired[str]
    company_external_id: NotRequired[str]
    payment_status: NotRequired[str]
    cancel_time: NotRequired[str]
    status: str
    trial_end: NotRequired[str]
    external_id: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    subscription_id: str
    version_id: NotRequired[str]
    current_period_end: NotRequired[str]
    created: NotRequired[str]


class AppCreateDTO(TypedDict):
    """Schema ``AppCreateDTO``."""

    name: str
    time_zone: NotRequired[str]
    week_starts_on: NotRequired[int]
    custom_app_id: NotRequired[str]


class AppResponseDTO(TypedDict):
    """Schema ``AppResponseDTO``."""

    name: str
    custom_app_id: NotRequired[str]
    search_api_base_url: NotRequired[str]
    week_starts_on: NotRequired[int]
    id: NotRequired[str]
    portal_api_base_url: NotRequired[str]
    secure_proxy: NotRequired[bool]
    time_zone: NotRequired[str]


class AppUpdateDTO(TypedDict):
    """Schema ``AppUpdateDTO``."""

    name: NotRequired[str]
    time_zone: NotRequired[str]
    week_starts_on: NotRequired[int]
    custom_app_id: NotRequired[str]


class BalanceChange(TypedDict):
    """Schema ``BalanceChange``."""

    amount: float


class CustomReporting(TypedDict):
    """Schema ``CustomReporting``."""

    report_when: list[str]


class CustomReportPlan(TypedDict):
    """Schema ``CustomReportPlan``."""

    plan_id: str


class BillingWebhookParams(TypedDict):
    """Schema ``BillingWebhookParams``."""

    reporting: NotRequired[CustomReporting]
    channel_ids: list[str]
    custom_plan: CustomReportPlan


class RecurlyPlan(TypedDict):
    """Schema ``RecurlyPlan``."""

    name: NotRequired[str]
    id: NotRequired[str]
    code: str


class RecurlyCurrencyAmount(TypedDict):
    """Schema ``RecurlyCurrencyAmount``."""

    currency: str
    unit_amount: NotRequired[float]
    unit_amount_decimal: NotRequired[str]


class RecurlyAddOnTier(TypedDict):
    """Schema ``RecurlyAddOnTier``."""

    ending_quantity: NotRequired[int]
    currencies: list[RecurlyCurrencyAmount]


class RecurlyAddOnPercentageTier(TypedDict):
    """Schema ``RecurlyAddOnPercentageTier``."""

    ending_amount: NotRequired[float]
    usage_percent: NotRequired[str]


class RecurlyAddOnPercentageTiers(TypedDict):
    """Schema ``RecurlyAddOnPercentageTiers``."""

    tiers: NotRequired[list[RecurlyAddOnPercentageTier]]
    currency: NotRequired[str]


class RecurlyPlanAddOn(TypedDict):
    """Schema ``RecurlyPlanAddOn``."""

    name: NotRequired[str]
    currencies: NotRequired[list[RecurlyCurrencyAmount]]
    usage_percentage: NotRequired[float]
    add_on_type: NotRequired[str]
    external_sku: NotRequired[str]
    state: NotRequired[str]
    tiers: NotRequired[list[RecurlyAddOnTier]]
    tier_type: NotRequired[str]
    code: str
    plan_id: NotRequired[str]
    id: NotRequired[str]
    percentage_tiers: NotRequired[list[RecurlyAddOnPercentageTiers]]
    usage_type: NotRequired[str]
    created_at: NotRequired[str]
    usage_calculation_type: NotRequired[str]
    updated_at: NotRequired[str]
    deleted_at: NotRequired[str]


class RecurlyBillingParams(TypedDict):
    """Schema ``RecurlyBillingParams``."""

    plan: NotRequired[RecurlyPlan]
    add_on: NotRequired[RecurlyPlanAddOn]
    add_ons: NotRequired[list[RecurlyPlanAddOn]]


class ChargebeeItemPlan(TypedDict):
    """Schema ``ChargebeeItemPlan``."""

    name: NotRequired[str]
    item_family_id: NotRequired[str]
    description: NotRequired[str]
    usage_calculation: NotRequired[str]
    external_name: NotRequired[str]
    metered: NotRequired[bool]
    id: str
    status: NotRequired[str]
    unit: NotRequired[str]
    updated_at: NotRequired[int]
    archived_at: NotRequired[int]


class ChargebeeItemPriceTier(TypedDict):
    """Schema ``ChargebeeItemPriceTier``."""

    starting_unit: int
    ending_unit: NotRequired[int]
    price: int


class ChargebeeItemPrice(TypedDict):
    """Schema ``ChargebeeItemPrice``."""

    name: NotRequired[str]
    item_id: NotRequired[str]
    description: NotRequired[str]
    price: NotRequired[int]
    price_in_decimal: NotRequired[str]
    external_name: NotRequired[str]
    tiers: NotRequired[list[ChargebeeItemPriceTier]]
    trial_end_action: NotRequired[str]
    trial_period: NotRequired[int]
    id: str
    status: NotRequired[str]
    pricing_model: NotRequired[str]
    created_at: NotRequired[int]
    period_unit: NotRequired[str]
    updated_at: NotRequired[int]
    trial_period_unit: NotRequired[str]
    item_type: NotRequired[str]
    currency_code: NotRequired[str]
    archived_at: NotRequired[int]
    free_quantity: NotRequired[int]
    period: NotRequired[int]


class ProviderReporting(TypedDict):
    """Schema ``ProviderReporting``."""

    reporting_period: NotRequired[str]


class ChargebeeBillingParams(TypedDict):
    """Schema ``ChargebeeBillingParams``."""

    item_plan: NotRequired[ChargebeeItemPlan]
    item_price: NotRequired[ChargebeeItemPrice]
    item_prices: NotRequired[list[ChargebeeItemPrice]]
    reporting: NotRequired[ProviderReporting]


class StripeProduct(TypedDict):
    """Schema ``StripeProduct``."""

    name: str
    description: NotRequired[str]
    unit_label: NotRequired[str]
    id: str
    usage_type: NotRequired[str]


class StripeTransformQuantity(TypedDict):
    """Schema ``StripeTransformQuantity``."""

    divide_by: NotRequired[int]
    round: NotRequired[str]


class StripeTier(TypedDict):
    """Schema ``StripeTier``."""

    flat_amount_decimal: NotRequired[str]
    up_to: NotRequired[int]
    unit_amount_decimal: NotRequired[str]
    flat_amount: NotRequired[int]
    unit_amount: NotRequired[int]


class StripeRecurring(TypedDict):
    """Schema ``StripeRecurring``."""

    trial_period_days: NotRequired[int]
    interval: NotRequired[str]
    usage_type: NotRequired[str]
    interval_count: NotRequired[int]
    aggregate_usage: NotRequired[str]


class StripePrice(TypedDict):
    """Schema ``StripePrice``."""

    tiers_mode: NotRequired[str]
    transform_quantity: NotRequired[StripeTransformQuantity]
    price_id: str
    tiers: NotRequired[list[StripeTier]]
    recurring: NotRequired[StripeRecurring]
    unit_amount_decimal: NotRequired[str]
    price_nickname: NotRequired[str]
    currency: NotRequired[str]
    billing_scheme: NotRequired[str]
    unit_amount: NotRequired[int]
    created: NotRequired[int]
    active: NotRequired[bool]


class StripeBillingParams(TypedDict):
    """Schema ``StripeBillingParams``."""

    product: NotRequired[StripeProduct]
    price: NotRequired[StripePrice]
    prices: NotRequired[list[StripePrice]]
    reporting: NotRequired[ProviderReporting]


class ZuoraBillingParams(TypedDict):
    """Schema ``ZuoraBillingParams``."""

    plan_id: NotRequired[str]
    price_id: NotRequired[str]
    price_ids: NotRequired[list[str]]


class BillingParams(TypedDict):
    """Schema ``BillingParams``."""

    usage_rounding_mode: NotRequired[str]
    webhook_params: NotRequired[BillingWebhookParams]
    recurly_params: NotRequired[RecurlyBillingParams]
    chargebee_params: NotRequired[ChargebeeBillingParams]
    stripe_params: NotRequired[StripeBillingParams]
    zuora_params: NotRequired[ZuoraBillingParams]
    usage_multiplier: NotRequired[float]


class BillingPlan(TypedDict):
    """Schema ``BillingPlan``."""

    provider_slug: str
    friendly_name: NotRequired[str]
    params: NotRequired[BillingParams]


class BillingMeterDocument(TypedDict):
    """Schema ``BillingMeterDocument``."""

    name: str
    billing_plan: BillingPlan
    url_query: str
    _id: NotRequired[str]
    slug: str
    status: str
    modified_at: str
    es_query: str
    created_at: str
    app_id: str
    org_id: str


class CreditBalanceMetric(TypedDict):
    """Schema ``CreditBalanceMetric``."""

    current_balance: float
    pending_activity: float
    available_balance: float


class BillingMetricBucket(TypedDict):
    """Schema ``BillingMetricBucket``."""

    start: str
    metric: NotRequired[float]
    amounts: NotRequired[dict[str, float]]
    ending_balance: NotRequired[CreditBalanceMetric]


class BillingMetricResponse(TypedDict):
    """Schema ``BillingMetricResponse``."""

    buckets: list[BillingMetricBucket]


class CreditBalance(TypedDict):
    """Schema ``CreditBalance``."""

    sequence_id: int
    current_balance: float
    pending_activity: float
    available_balance: float


class BillingReportUsageInvoice(TypedDict):
    """Schema ``BillingReportUsageInvoice``."""

    period_start: NotRequired[str]
    period_end: NotRequired[str]
    id: str


class BillingReportUsage(TypedDict):
    """Schema ``BillingReportUsage``."""

    invoice: NotRequired[BillingReportUsageInvoice]
    aggregator: NotRequired[str]


class ProviderRequest(TypedDict):
    """Schema ``ProviderRequest``."""

    success: bool
    status_code: int
    job_id: str
    error_message: str
    error_code: str
    request_time: str


class ChannelRequest(TypedDict):
    """Schema ``ChannelRequest``."""

    channel_id: str
    channel_name: str
    provider_requests: list[ProviderRequest]


class BillingReport(TypedDict):
    """Schema ``BillingReport``."""

    ending_balance: NotRequired[CreditBalance]
    company_id: str
    success: bool
    provider: str
    report_version: NotRequired[int]
    usage_end_time: str
    usage: NotRequired[BillingReportUsage]
    _id: NotRequired[str]
    meter_usage: int
    last_success_time: NotRequired[str]
    beginning_balance: NotRequired[CreditBalance]
    billing_meter_id: str
    amount: NotRequired[float]
    usage_start_time: str
    status: NotRequired[str]
    provider_requests: list[ProviderRequest]
    currency: NotRequired[str]
    report_total_usage: int
    channel_requests: NotRequired[list[ChannelRequest]]
    created_at: NotRequired[str]
    app_id: str
    subscription_id: str
    subscription_period_start: NotRequired[str]
    balance_changes: NotRequired[list[BalanceChange]]
    type: NotRequired[str]
    updated_at: NotRequired[str]
    org_id: str
    subscription_period_end: NotRequired[str]
    meter_metric: int


class BillingReportBalanceTransCreate(TypedDict):
    """Schema ``BillingReportBalanceTransCreate``."""

    company_id: str
    description: NotRequired[str]
    expire_at: NotRequired[str]
    active_at: NotRequired[str]
    amount: float
    transaction_id: str
    subscription_id: str
    type: str


ChartItem = TypedDict(
    "ChartItem",
    {
        "original_encoded_view_elements": NotRequired[str],
        "funnel_query": NotRequired[dict[str, Any]],
        "url_query": str,
        "to": NotRequired[str],
        "view_elements": NotRequired[dict[str, Any]],
        "from": NotRequired[str],
        "original_encoded_funnel_query": NotRequired[str],
        "es_query": NotRequired[dict[str, Any]],
        "args": NotRequired[str],
        "original_encoded_query": NotRequired[str],
        "time_zone": NotRequired[str],
        "view": str,
    },
)

CohortConfig = TypedDict(
    "CohortConfig",
    {
        "url_query": str,
        "criteria": str,
        "cohort_name": str,
        "to": str,
        "from": str,
        "cohort_type": str,
        "time_zone": str,
    },
)


class Cohort(TypedDict):
    """Schema ``Cohort``."""

    id: str
    type: str
    config: NotRequired[CohortConfig]


class NotificationRule(TypedDict):
    """Schema ``NotificationRule``."""

    send_on_addition: bool
    send_on_removal: bool
    period: NotRequired[str]
    fields: NotRequired[list[str]]


CohortCreateItem = TypedDict(
    "CohortCreateItem",
    {
        "channels": NotRequired[list[str]],
        "priority": NotRequired[int],
        "url_query": NotRequired[str],
        "criteria": dict[str, Any],
        "notification_rule": NotRequired[NotificationRule],
        "cohort_name": str,
        "to": NotRequired[str],
        "week_starts_on": NotRequired[int],
        "locked_by": NotRequired[str],
        "from": NotRequired[str],
        "cohort_type": str,
        "time_zone": NotRequired[str],
    },
)

CohortDocument = TypedDict(
    "CohortDocument",
    {
        "channels": NotRequired[list[str]],
        "priority": NotRequired[int],
        "url_query": NotRequired[str],
        "criteria": str,
        "_id": NotRequired[str],
        "sample_rate": NotRequired[int],
        "notification_rule": NotRequired[NotificationRule],
        "cohort_name": str,
        "to": NotRequired[str],
        "week_starts_on": NotRequired[int],
        "locked_by": NotRequired[str],
        "modified_at": str,
        "from": NotRequired[str],
        "created_at": str,
        "app_id": str,
        "cohort_type": str,
        "time_zone": NotRequired[str],
        "org_id": str,
    },
)

CohortUpdateItem = TypedDict(
    "CohortUpdateItem",
    {
        "channels": NotRequired[list[str]],
        "priority": NotRequired[int],
        "url_query": NotRequired[str],
        "criteria": NotRequired[dict[str, Any]],
        "sample_rate": NotRequired[int],
        "notification_rule": NotRequired[NotificationRule],
        "cohort_name": NotRequired[str],
        "to": NotRequired[str],
        "week_starts_on": NotRequired[int],
        "locked_by": NotRequired[str],
        "from": NotRequired[str],
        "cohort_type": str,
        "time_zone": NotRequired[str],
    },
)


class DynamicField(TypedDict):
    """Schema ``DynamicField``."""

    token: str
    field: str
    aggregator: str


class TemplateContent(TypedDict):
    """Schema ``TemplateContent``."""

    html: str
    chunks: dict[str, Any]


class TemplateConfig(TypedDict):
    """Schema ``TemplateConfig``."""

    subject: str
    editor: str
    design: dict[str, Any]
    thumbnail_url: NotRequired[str]


EmailAddresses = TypedDict(
    "EmailAddresses",
    {
        "from": str,
        "cc": list[str],
        "bcc": list[str],
    },
)


class EmailTemplateDocument(TypedDict):
    """Schema ``com.moesif.docdb.emailtemplates.EmailTemplateDocument``."""

    _id: NotRequired[str]
    org_id: NotRequired[str]
    app_id: NotRequired[str]
    created_at: NotRequired[str]
    modified_at: NotRequired[str]
    name: str
    state: int
    cohorts: list[Cohort]
    dynamic_fields: NotRequired[list[DynamicField]]
    content: TemplateContent
    template: TemplateConfig
    period: NotRequired[str]
    addresses: EmailAddresses


class CommentItem(TypedDict):
    """Schema ``CommentItem``."""

    message: NotRequired[str]
    mentions: NotRequired[list[str]]


class CreateCommentItem(TypedDict):
    """Schema ``CreateCommentItem``."""

    auth_user_id: NotRequired[str]
    comment_id: NotRequired[str]
    mentions: NotRequired[list[str]]
    partner_user_id: NotRequired[str]
    message: NotRequired[str]
    created_at: NotRequired[str]
    updated_at: NotRequired[str]


class Summary(TypedDict):
    """Schema ``Summary``."""

    count: int
    latest_comment: NotRequired[CreateCommentItem]


class Comments(TypedDict):
    """Schema ``Comments``."""

    summary: Summary


class CompanyResponseDTOSource(TypedDict):
    """An object inside another."""

    body: NotRequired[dict[str, Any]]
    first_seen_time: NotRequired[str]
    domain_name: NotRequired[str]
    modified_time: NotRequired[str]
    session_token: NotRequired[list[str]]


class CompanyResponseDTO(TypedDict):
    """Schema ``companyResponseDTO``."""

    _id: NotRequired[str]
    _source: NotRequired[CompanyResponseDTOSource]
    sort: NotRequired[list[int]]


class CompanyUpdateDTO(TypedDict):
    """Schema ``CompanyUpdateDTO``."""

    company_id: str
    modified_time: NotRequired[str]
    session_token: NotRequired[str]
    company_domain: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]


class PolicyItem(TypedDict):
    """Schema ``PolicyItem``."""

    acl: list[ACLItem]
    resource: dict[str, Any]
    api_scopes: NotRequired[list[str]]
    original_encoded_resource: NotRequired[str]


class DashboardDocument(TypedDict):
    """Schema ``DashboardDocument``."""

    parent: NotRequired[str]
    name: str
    _id: NotRequired[str]
    auth_user_id: str
    profile_view_promotion: NotRequired[str]
    app_id: str
    workspace_ids: list[list[str]]
    sort_order: NotRequired[float]
    dashboard_ids: list[str]
    policy: NotRequired[PolicyItem]
    org_id: str
    migration: NotRequired[dict[str, Any]]
    created: str


class DashboardUpdateItem(TypedDict):
    """Schema ``DashboardUpdateItem``."""

    parent: NotRequired[str]
    name: NotRequired[str]
    dashboard_id: NotRequired[str]
    workspace_ids: NotRequired[list[list[str]]]
    sort_order: NotRequired[float]
    dashboard_ids: NotRequired[list[str]]
    policy: NotRequired[PolicyItem]


class DrawingItem(TypedDict):
    """Schema ``DrawingItem``."""

    name: str
    direction: str
    id: str
    type: str
    value: float


class EmailTemplateCreateItem(TypedDict):
    """Schema ``EmailTemplateCreateItem``."""

    name: str
    state: int
    cohorts: list[Cohort]
    dynamic_fields: NotRequired[list[DynamicField]]
    content: TemplateContent
    template: TemplateConfig
    period: NotRequired[str]
    addresses: EmailAddresses


class EmailTemplateUpdateItem(TypedDict):
    """Schema ``EmailTemplateUpdateItem``."""

    name: NotRequired[str]
    state: NotRequired[int]
    cohorts: NotRequired[list[Cohort]]
    dynamic_fields: NotRequired[list[DynamicField]]
    content: NotRequired[TemplateContent]
    template: NotRequired[TemplateConfig]
    period: NotRequired[str]
    addresses: NotRequired[EmailAddresses]


EncryptedKeyDocument = TypedDict(
    "EncryptedKeyDocument",
    {
        "_id": NotRequired[str],
        "org_id": NotRequired[str],
        "app_id": NotRequired[str],
        "type": NotRequired[str],
        "month": NotRequired[str],
        "from": NotRequired[str],
        "to": NotRequired[str],
        "encrypted_key": NotRequired[str],
        "created_at": NotRequired[str],
        "modified_at": NotRequired[str],
    },
)


class EventResponseDTOSourceRequestUserAgent(TypedDict):
    """An object inside another."""

    patch: NotRequired[str]
    major: NotRequired[str]
    minor: NotRequired[str]
    name: NotRequired[str]


class EventResponseDTOSourceRequestGeoIp(TypedDict):
    """An object inside another."""

    ip: NotRequired[str]
    region_name: NotRequired[str]
    continent_code: NotRequired[str]
    location: NotRequired[list[float]]
    latitude: NotRequired[float]
    timezone: NotRequired[str]
    area_code: NotRequired[int]
    longitude: NotRequired[float]
    real_region_name: NotRequired[str]
    dma_code: NotRequired[int]
    postal_code: NotRequired[str]
    city_name: NotRequired[str]
    country_code2: NotRequired[str]
    country_code3: NotRequired[str]
    country_name: NotRequired[str]


class EventResponseDTOSourceRequest(TypedDict):
    """An object inside another."""

    body: NotRequired[dict[str, Any]]
    uri: NotRequired[str]
    user_agent: NotRequired[EventResponseDTOSourceRequestUserAgent]
    geo_ip: NotRequired[EventResponseDTOSourceRequestGeoIp]
    ip_address: NotRequired[str]
    verb: NotRequired[str]
    route: NotRequired[str]
    time: NotRequired[str]
    headers: NotRequired[dict[str, Any]]


class EventResponseDTOSourceResponse(TypedDict):
    """An object inside another."""

    body: NotRequired[dict[str, Any]]
    transfer_encoding: NotRequired[str]
    status: NotRequired[int]
    time: NotRequired[str]
    headers: NotRequired[dict[str, Any]]


class EventResponseDTOSource(TypedDict):
    """An object inside another."""

    company_id: NotRequired[str]
    duration_ms: NotRequired[int]
    request: NotRequired[EventResponseDTOSourceRequest]
    user_id: NotRequired[str]
    company: NotRequired[dict[str, Any]]
    response: NotRequired[EventResponseDTOSourceResponse]
    id: NotRequired[str]
    event_type: NotRequired[str]
    session_token: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    app_id: NotRequired[str]
    org_id: NotRequired[str]
    user: NotRequired[dict[str, Any]]


class EventResponseDTO(TypedDict):
    """Schema ``eventResponseDTO``."""

    _id: NotRequired[str]
    _source: NotRequired[EventResponseDTOSource]
    sort: NotRequired[list[int]]


class GovernanceRulesVariables(TypedDict):
    """Schema ``GovernanceRulesVariables``."""

    name: str
    path: str


class RulesResponseItem(TypedDict):
    """Schema ``RulesResponseItem``."""

    status: NotRequired[int]
    headers: NotRequired[dict[str, str]]
    body: NotRequired[dict[str, Any]]
    original_encoded_body: NotRequired[str]


class RegexCondition(TypedDict):
    """Schema ``RegexCondition``."""

    path: str
    value: str


class RegexRule(TypedDict):
    """Schema ``RegexRule``."""

    conditions: list[RegexCondition]
    sample_rate: NotRequired[int]


class Plan(TypedDict):
    """Schema ``Plan``."""

    provider: str
    plan_id: str
    price_ids: list[str]


class GovernanceRuleCreateItem(TypedDict):
    """Schema ``GovernanceRuleCreateItem``."""

    name: str
    priority: NotRequired[int]
    model: NotRequired[str]
    state: int
    cohorts: NotRequired[list[dict[str, Any]]]
    variables: NotRequired[list[GovernanceRulesVariables]]
    applied_to: NotRequired[str]
    block: bool
    response: NotRequired[RulesResponseItem]
    applied_to_unidentified: NotRequired[bool]
    regex_config: NotRequired[list[RegexRule]]
    plans: NotRequired[list[Plan]]
    type: str


class GovernanceRulesDocument(TypedDict):
    """Schema ``GovernanceRulesDocument``."""

    name: str
    priority: NotRequired[int]
    model: NotRequired[str]
    state: int
    cohorts: NotRequired[list[dict[str, Any]]]
    _id: NotRequired[str]
    variables: NotRequired[list[GovernanceRulesVariables]]
    applied_to: NotRequired[str]
    block: bool
    response: NotRequired[RulesResponseItem]
    applied_to_unidentified: NotRequired[bool]
    regex_config: NotRequired[list[RegexRule]]
    created_at: str
    app_id: str
    plans: NotRequired[list[Plan]]
    type: str
    org_id: str


class GovernanceRuleUpdateItem(TypedDict):
    """Schema ``GovernanceRuleUpdateItem``."""

    name: NotRequired[str]
    priority: NotRequired[int]
    model: NotRequired[str]
    state: NotRequired[int]
    cohorts: NotRequired[list[dict[str, Any]]]
    variables: NotRequired[list[GovernanceRulesVariables]]
    applied_to: NotRequired[str]
    block: NotRequired[bool]
    response: NotRequired[RulesResponseItem]
    applied_to_unidentified: NotRequired[bool]
    regex_config: NotRequired[list[RegexRule]]
    plans: NotRequired[list[Plan]]
    type: NotRequired[str]


class KeyValuePair(TypedDict):
    """Schema ``KeyValuePair``."""

    key: str
    val: str


class MoesifTransformQuantity(TypedDict):
    """Schema ``MoesifTransformQuantity``."""

    divide_by: int
    round: str


class MoesifPriceTier(TypedDict):
    """Schema ``MoesifPriceTier``."""

    up_to: int | str
    unit_price_in_decimal: NotRequired[str]
    flat_price_in_decimal: NotRequired[str]


class MoesifPrice(TypedDict):
    """Schema ``MoesifPrice``."""

    name: NotRequired[str]
    transform_quantity: NotRequired[MoesifTransformQuantity]
    provider: NotRequired[str]
    price_in_decimal: NotRequired[str]
    tiers: NotRequired[list[MoesifPriceTier]]
    period_units: NotRequired[str]
    plan_id: NotRequired[str]
    id: NotRequired[str]
    status: NotRequired[str]
    pricing_model: NotRequired[str]
    tax_behavior: NotRequired[str]
    currency: NotRequired[str]
    metadata: NotRequired[dict[str, str]]
    created_at: NotRequired[str]
    unit: NotRequired[str]
    usage_aggregator: NotRequired[str]
    period: NotRequired[int]


class MoesifPlan(TypedDict):
    """Schema ``MoesifPlan``."""

    name: NotRequired[str]
    prices: NotRequired[list[MoesifPrice]]
    provider: NotRequired[str]
    description: NotRequired[str]
    id: NotRequired[str]
    status: NotRequired[str]
    product_id: NotRequired[str]
    metadata: NotRequired[dict[str, str]]
    created_at: NotRequired[str]
    unit: NotRequired[str]
    updated_at: NotRequired[str]


class SearchCompaniesResponseDTOHits(TypedDict):
    """An object inside another."""

    total: NotRequired[int]
    hits: NotRequired[list[CompanyResponseDTO]]


class SearchCompaniesResponseDTO(TypedDict):
    """Schema ``searchcompanysResponseDTO``."""

    took: NotRequired[int]
    timed_out: NotRequired[bool]
    hits: NotRequired[SearchCompaniesResponseDTOHits]


class SearchEventsResponseDTOHits(TypedDict):
    """An object inside another."""

    total: NotRequired[int]
    hits: NotRequired[list[EventResponseDTO]]


class SearchEventsResponseDTO(TypedDict):
    """Schema ``searchEventsResponseDTO``."""

    took: NotRequired[int]
    timed_out: NotRequired[bool]
    hits: NotRequired[SearchEventsResponseDTOHits]


class UserResponseDTOSourceUserAgent(TypedDict):
    """An object inside another."""

    name: NotRequired[str]
    os_major: NotRequired[str]
    os: NotRequired[str]
    os_name: NotRequired[str]
    os_minor: NotRequired[str]
    major: NotRequired[str]
    device: NotRequired[str]
    minor: NotRequired[str]


class UserResponseDTOSourceGeoIpLocation(TypedDict):
    """An object inside another."""

    lon: NotRequired[float]
    lat: NotRequired[float]


class UserResponseDTOSourceGeoIp(TypedDict):
    """An object inside another."""

    ip: NotRequired[str]
    region_name: NotRequired[str]
    continent_code: NotRequired[str]
    location: NotRequired[UserResponseDTOSourceGeoIpLocation]
    latitude: NotRequired[float]
    timezone: NotRequired[str]
    longitude: NotRequired[float]
    dma_code: NotRequired[int]
    postal_code: NotRequired[str]
    region_code: NotRequired[str]
    city_name: NotRequired[str]
    country_code2: NotRequired[str]
    country_code3: NotRequired[str]
    country_name: NotRequired[str]


class UserResponseDTOSource(TypedDict):
    """An object inside another."""

    first_name: NotRequired[str]
    body: NotRequired[dict[str, Any]]
    name: NotRequired[str]
    email: NotRequired[str]
    first_seen_time: NotRequired[str]
    user_agent: NotRequired[UserResponseDTOSourceUserAgent]
    geo_ip: NotRequired[UserResponseDTOSourceGeoIp]
    modified_time: NotRequired[str]
    last_name: NotRequired[str]
    ip_address: NotRequired[str]
    session_token: NotRequired[list[str]]
    last_seen_time: NotRequired[str]
    app_id: NotRequired[str]
    org_id: NotRequired[str]


class UserResponseDTO(TypedDict):
    """Schema ``userResponseDTO``."""

    _id: NotRequired[str]
    _source: NotRequired[UserResponseDTOSource]
    sort: NotRequired[list[int]]


class SearchUsersResponseDTOHits(TypedDict):
    """An object inside another."""

    total: NotRequired[int]
    hits: NotRequired[list[UserResponseDTO]]


class SearchUsersResponseDTO(TypedDict):
    """Schema ``searchUsersResponseDTO``."""

    took: NotRequired[int]
    timed_out: NotRequired[bool]
    hits: NotRequired[SearchUsersResponseDTOHits]


class SubmitData(TypedDict):
    """Schema ``SubmitData``."""

    body: NotRequired[dict[str, Any]]
    url: str
    params: NotRequired[list[KeyValuePair]]
    verb: str
    headers: NotRequired[list[KeyValuePair]]


class SequenceItem(TypedDict):
    """Schema ``SequenceItem``."""

    delay: int
    submit_data: SubmitData


class SignedTokenDTO(TypedDict):
    """Schema ``SignedTokenDTO``."""

    _id: str
    token: str
    url: NotRequired[str]


class SubscriptionDTO(TypedDict):
    """Schema ``SubscriptionDTO``."""

    trial_start: NotRequired[str]
    company_id: str
    start_date: NotRequired[str]
    collection_method: NotRequired[str]
    provider: NotRequired[str]
    items: NotRequired[list[SubscriptionItem]]
    current_period_start: NotRequired[str]
    company_external_id: NotRequired[str]
    payment_status: NotRequired[str]
    modified_time: NotRequired[str]
    cancel_time: NotRequired[str]
    status: str
    trial_end: NotRequired[str]
    external_id: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    app_id: str
    subscription_id: str
    version_id: NotRequired[str]
    type: str
    current_period_end: NotRequired[str]
    org_id: str
    created: NotRequired[str]


class TemplateItem(TypedDict):
    """Schema ``TemplateItem``."""

    dynamic_fields: list[str]
    dynamic_time: NotRequired[bool]


class UserUpdateDTO(TypedDict):
    """Schema ``UserUpdateDTO``."""

    company_id: NotRequired[str]
    first_name: NotRequired[str]
    name: NotRequired[str]
    email: NotRequired[str]
    photo_url: NotRequired[str]
    user_id: str
    modified_time: NotRequired[str]
    last_name: NotRequired[str]
    metadata: NotRequired[dict[str, Any]]
    user_name: NotRequired[str]
    phone: NotRequired[str]


class WorkspaceCreateItem(TypedDict):
    """Schema ``WorkspaceCreateItem``."""

    name: str
    is_default: NotRequired[bool]
    view_count: NotRequired[int]
    dashboard: NotRequired[dict[str, Any]]
    colors: NotRequired[dict[str, Any]]
    drawings: NotRequired[list[DrawingItem]]
    chart: ChartItem
    template: NotRequired[TemplateItem]
    type: NotRequired[str]
    width: NotRequired[float]
    sort_order: NotRequired[float]
    policy: PolicyItem


class WorkspaceDocument(TypedDict):
    """Schema ``WorkspaceDocument``."""

    name: NotRequired[str]
    is_default: NotRequired[bool]
    view_count: int
    _id: NotRequired[str]
    is_template: NotRequired[bool]
    dashboard: NotRequired[dict[str, Any]]
    auth_user_id: str
    colors: NotRequired[dict[str, Any]]
    sequence: NotRequired[list[SequenceItem]]
    drawings: NotRequired[list[DrawingItem]]
    chart: NotRequired[ChartItem]
    template: NotRequired[TemplateItem]
    app_id: str
    type: NotRequired[str]
    width: NotRequired[float]
    sort_order: NotRequired[float]
    policy: NotRequired[PolicyItem]
    org_id: str
    migration: NotRequired[dict[str, Any]]
    created: str
    comments: NotRequired[Comments]


class WorkspaceUpdateItem(TypedDict):
    """Schema ``WorkspaceUpdateItem``."""

    name: NotRequired[str]
    colors: NotRequired[dict[str, Any]]
    drawings: NotRequired[list[DrawingItem]]
    chart: NotRequired[ChartItem]
    template: NotRequired[TemplateItem]
    width: NotRequired[float]
    sort_order: NotRequired[float]
    policy: NotRequired[PolicyItem]


__all__ = [
    "ACLItem",
    "AddSubscriptionDTO",
    "AppCreateDTO",
    "AppResponseDTO",
    "AppUpdateDTO",
    "BalanceChange",
    "BillingMeterDocument",
    "BillingMetricBucket",
    "BillingMetricResponse",
    "BillingParams",
    "BillingPlan",
    "BillingReport",
    "BillingReportBalanceTransCreate",
    "BillingReportUsage",
    "BillingReportUsageInvoice",
    "BillingWebhookParams",
    "ChannelRequest",
    "ChargebeeBillingParams",
    "ChargebeeItemPlan",
    "ChargebeeItemPrice",
    "ChargebeeItemPriceTier",
    "ChartItem",
    "Cohort",
    "CohortConfig",
    "CohortCreateItem",
    "CohortDocument",
    "CohortUpdateItem",
    "CommentItem",
    "Comments",
    "CompanyResponseDTO",
    "CompanyResponseDTOSource",
    "CompanyUpdateDTO",
    "CreateCommentItem",
    "CreditBalance",
    "CreditBalanceMetric",
    "CustomReportPlan",
    "CustomReporting",
    "DashboardDocument",
    "DashboardUpdateItem",
    "DrawingItem",
    "DynamicField",
    "EmailAddresses",
    "EmailTemplateCreateItem",
    "EmailTemplateDocument",
    "EmailTemplateUpdateItem",
    "EncryptedKeyDocument",
    "EventResponseDTO",
    "EventResponseDTOSource",
    "EventResponseDTOSourceRequest",
    "EventResponseDTOSourceRequestGeoIp",
    "EventResponseDTOSourceRequestUserAgent",
    "EventResponseDTOSourceResponse",
    "GovernanceRuleCreateItem",
    "GovernanceRuleUpdateItem",
    "GovernanceRulesDocument",
    "GovernanceRulesVariables",
    "KeyValuePair",
    "MoesifPlan",
    "MoesifPrice",
    "MoesifPriceTier",
    "MoesifTransformQuantity",
    "NotificationRule",
    "Plan",
    "PolicyItem",
    "ProviderReporting",
    "ProviderRequest",
    "RecurlyAddOnPercentageTier",
    "RecurlyAddOnPercentageTiers",
    "RecurlyAddOnTier",
    "RecurlyBillingParams",
    "RecurlyCurrencyAmount",
    "RecurlyPlan",
    "RecurlyPlanAddOn",
    "RegexCondition",
    "RegexRule",
    "RulesResponseItem",
    "SearchCompaniesResponseDTO",
    "SearchCompaniesResponseDTOHits",
    "SearchEventsResponseDTO",
    "SearchEventsResponseDTOHits",
    "SearchUsersResponseDTO",
    "SearchUsersResponseDTOHits",
    "SequenceItem",
    "SignedTokenDTO",
    "StripeBillingParams",
    "StripePrice",
    "StripeProduct",
    "StripeRecurring",
    "StripeTier",
    "StripeTransformQuantity",
    "SubmitData",
    "SubscriptionDTO",
    "SubscriptionItem",
    "Summary",
    "TemplateConfig",
    "TemplateContent",
    "TemplateItem",
    "UserResponseDTO",
    "UserResponseDTOSource",
    "UserResponseDTOSourceGeoIp",
    "UserResponseDTOSourceGeoIpLocation",
    "UserResponseDTOSourceUserAgent",
    "UserUpdateDTO",
    "WorkspaceCreateItem",
    "WorkspaceDocument",
    "WorkspaceUpdateItem",
    "ZuoraBillingParams",
]
