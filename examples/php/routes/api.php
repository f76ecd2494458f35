<?php
// In Laravel: Route::post('/webhooks/telegram/{agent}', [TelegramWebhookController::class, 'store'])
//                 ->whereNumber('agent')->middleware(VerifyTrunklineSignature::class);

declare(strict_types=1);

use App\Http\Controllers\TelegramWebhookController;
use App\Http\Middleware\VerifyTrunklineSignature;

return [
    [
        'POST',
        '~^/api/webhooks/telegram/(?<agent>-?\d+)$~',
        new VerifyTrunklineSignature(getenv('WEBHOOK_SECRET_TOKEN'), getenv('TRUNKLINE_SIGNING_SECRET')),
        [new TelegramWebhookController(), 'store'],
    ],
];
